use super::fault::Faults;
use super::place::Place;
use super::source::Source;

/// The most faults that are shown of one file: more are not read by anyone.
pub const FAULTS_MAX: usize = 1000;

/// Gathers what is wrong while the text is read, so that one run shows everything.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    partial: bool,
}

#[derive(Debug)]
struct Finding {
    place: Place,
    message: String,
    help: Option<String>,
}

impl Report {
    /// A report on a text of which parts could not be read, so that nothing in it is truly missing.
    pub(super) fn partial() -> Self {
        Self { findings: Vec::new(), partial: true }
    }

    /// Notes that something is missing, unless it may be among what could not be read.
    pub(super) fn missing(&mut self, place: Place, message: impl Into<String>) {
        if !self.partial {
            self.fault(place, message);
        }
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, place: Place, message: impl Into<String>) {
        self.findings.push(Finding { place, message: message.into(), help: None });
    }

    /// Notes a fault and what to do about it.
    pub(super) fn fault_with_help(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding { place, message: message.into(), help: Some(help.into()) });
    }

    /// Forgets each fault whose place is not wanted.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(Place) -> bool) {
        self.findings.retain(|finding| wanted(finding.place));
    }

    /// Takes over what another report holds.
    pub(super) fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    /// The faults in the order of the file, or `None` if there are none.
    pub(super) fn finish(mut self, source: &Source) -> Option<Faults> {
        self.findings.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
        self.findings.dedup_by(|a, b| a.place == b.place && a.message == b.message);
        let omitted = self.findings.len().saturating_sub(FAULTS_MAX);
        self.findings.truncate(FAULTS_MAX);
        let faults =
            self.findings.into_iter().map(|finding| source.fault(finding.place, finding.message, finding.help));
        Faults::new(faults.collect(), omitted)
    }
}
