/// The candidate that a reader most likely meant, if one is near enough.
#[must_use]
pub fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = text.to_ascii_lowercase();
    // A third of the letters wrong is still the same word to a person; one letter always is.
    let length = text.chars().count();
    let distance_max = (length / 3).max(1);
    candidates
        .into_iter()
        // They differ by what one is longer than the other at least; to find out the rest takes the room of both multiplied.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= distance_max)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("target", ["targets", "timeouts"]), Some("targets"));
        assert_eq!(nearest("Passthru", ["passthrough", "terminate"]), None);
        assert_eq!(nearest("pasthrough", ["passthrough", "terminate"]), Some("passthrough"));
        assert_eq!(nearest("", ["a"]), Some("a"));
        assert_eq!(nearest("xyz", ["targets"]), None);
    }
}
