//! Taking hellos out of their records and putting them into others.

/// How many bytes each record takes.
#[derive(Clone, Copy)]
pub(crate) enum Paced {
    /// The same each time.
    Every(usize),
    /// 1 to 600, from this seed.
    Random(u64),
}

impl Paced {
    /// The most records that `length` bytes can take.
    pub(crate) fn records(self, length: usize) -> usize {
        match self {
            Self::Every(size) => length.div_ceil(size),
            Self::Random(_) => length / 100,
        }
    }
}

/// The handshake bytes of whole records.
pub(crate) fn message(mut wire: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [22, 3, _, high, low, rest @ ..] = wire {
        let (fragment, behind) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(fragment);
        wire = behind;
    }
    assert!(wire.is_empty());
    message
}

/// The handshake bytes in records.
pub(crate) fn records(mut message: &[u8], paced: Paced) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut state = match paced {
        Paced::Every(_) => 0,
        Paced::Random(seed) => seed,
    };
    while !message.is_empty() {
        let size = match paced {
            Paced::Every(size) => size,
            Paced::Random(_) => {
                // Knuth's MMIX generator: the same records for the same seed on every machine.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                1 + usize::try_from((state >> 33) % 600).unwrap()
            }
        };
        let (fragment, rest) = message.split_at(size.min(message.len()));
        wire.extend_from_slice(&[22, 3, 1]);
        wire.extend_from_slice(&u16::try_from(fragment.len()).unwrap().to_be_bytes());
        wire.extend_from_slice(fragment);
        message = rest;
    }
    wire
}

/// The hello with one more extension in front, of a private type, that makes it `length` bytes long.
pub(crate) fn padded(message: &[u8], length: usize) -> Vec<u8> {
    const PRIVATE: u16 = 0xff77;
    // Header, version, random; then three lists of which each has its length in front.
    let mut at = 4 + 2 + 32;
    at += 1 + usize::from(message[at]);
    at += 2 + usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    at += 1 + usize::from(message[at]);
    let (head, extensions) = (&message[4..at], &message[at + 2..]);

    let content = vec![0; length - message.len() - 4];
    let mut list = PRIVATE.to_be_bytes().to_vec();
    list.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    list.extend(content);
    list.extend(extensions);
    let list_length = u16::try_from(list.len()).unwrap().to_be_bytes();

    let body = [head, &list_length, &list].concat();
    let padded = [&[1][..], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], &body].concat();
    assert_eq!(padded.len(), length);
    padded
}
