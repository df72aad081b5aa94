/// The Castagnoli polynomial, bits reversed (RFC 3720 section 12.1).
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainder of each byte.
static TABLE: [u32; 256] = table();

/// The CRC32C of the parts, one after the other.
pub(super) fn crc32c<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    !parts.into_iter().flatten().fold(u32::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        // A byte cannot point past 256 entries.
        (crc >> 8) ^ TABLE[usize::from(low ^ byte)]
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_of_rfc_3720_appendix_b_4_come_out() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32][..]]), 0x62a8_ab43);
        assert_eq!(crc32c([&ascending[..]]), 0x46dd_794e);
        assert_eq!(crc32c([&descending[..16], &descending[16..]]), 0x113f_db5c);
    }
}
