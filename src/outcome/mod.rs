//! Why a connection ended: the phase it was in, the party that ended it, and the cause.
//!
//! This is the one vocabulary of the access log, the metrics and the documents.

mod cause;
mod causes;
mod party;
mod phase;

pub use cause::Cause;
pub use causes::with_causes;
pub use party::Party;
pub use phase::Phase;

/// The end of one connection or request. Every one has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// What was going on.
    pub phase: Phase,
    /// Who ended it.
    pub party: Party,
    /// Why.
    pub cause: Cause,
}

impl Outcome {
    /// Joins the three.
    #[must_use]
    pub const fn new(phase: Phase, party: Party, cause: Cause) -> Self {
        Self { phase, party, cause }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "phase={} party={} cause={}", self.phase.as_str(), self.party.as_str(), self.cause.as_str())
    }
}

/// Defines an enum whose variants have a fixed name in logs and metrics and a sentence for people.
macro_rules! vocabulary {
    ($(#[$outer:meta])* $name:ident { $($variant:ident = $text:literal: $meaning:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $name {
            /// Every variant, in the order of the documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in logs, metrics and documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// What it means, in a sentence for the operator.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }
        }
    };
}
use vocabulary;
