//! Quantities as people read them.

/// So many of them, in the right number.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{plural}")
}

/// A time for people: `41s`, `12m41s`, `3h12m`, `5d3h`.
pub(super) fn age(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ages are small and not negative")]
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// A number of bytes for people: `512B`, `1.5KiB`, `23MiB`; one decimal below ten, and never more than there is.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, bits)) = UNITS.iter().find(|(_, bits)| bytes >> bits > 0) else { return format!("{bytes}B") };
    let (whole, rest) = (bytes >> bits, bytes & ((1 << bits) - 1));
    let tenths = ((rest >> (bits - 10)) * 10) >> 10;
    if whole < 10 && tenths > 0 { format!("{whole}.{tenths}{unit}") } else { format!("{whole}{unit}") }
}

/// A number with a comma at each thousand.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_in_its_two_largest_units() {
        for (seconds, text) in
            [(0.0, "0s"), (59.9, "59s"), (61.0, "1m1s"), (3_600.0, "1h0m"), (90_061.0, "1d1h"), (-1.0, "0s")]
        {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn one_is_singular_and_the_others_are_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "route")), ["0 routes", "1 route", "2 routes"]);
        assert_eq!([1, 2].map(|number| count(number, "address")), ["1 address", "2 addresses"]);
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_it_fills() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1536, "1.5KiB"),
            (1024 * 1024 - 1, "1023KiB"),
            (10 * 1024 * 1024, "10MiB"),
            (1 << 40, "1TiB"),
            (u64::MAX, "16777215TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn great_numbers_are_grouped() {
        assert_eq!([0, 999, 1_204, 1_234_567].map(grouped), ["0", "999", "1,204", "1,234,567"]);
    }
}
