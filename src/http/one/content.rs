use bytes::BytesMut;

use crate::http::codec::Length;
use crate::http::codec::{ChunkFault, Chunks, Piece};

/// The body of a message while it is taken off the wire.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it has come.
    Done,
    /// So many bytes are still to come.
    Known(u64),
    /// What is to come says itself where it ends.
    Chunked(Chunks),
    /// The end of the connection is its end (targets only).
    UntilClose,
}

impl Content {
    pub(super) fn new(length: Length) -> Self {
        match length {
            Length::Empty | Length::Known(0) => Self::Done,
            Length::Known(length) => Self::Known(length),
            Length::Chunked => Self::Chunked(Chunks::default()),
            Length::UntilClose => Self::UntilClose,
        }
    }

    /// The next piece of the body in what has come; `None` if more has to come first. Never takes what is behind the body.
    ///
    /// # Errors
    /// The sender's: its chunks are not valid, and nothing behind them can be told apart.
    pub(super) fn next(&mut self, inbox: &mut BytesMut) -> Result<Option<Piece>, ChunkFault> {
        match self {
            Self::Done => Ok(Some(Piece::End)),
            Self::Known(_) | Self::UntilClose if inbox.is_empty() => Ok(None),
            Self::Known(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(inbox.len());
                self.took(taken);
                Ok(Some(Piece::Data(inbox.split_to(taken).freeze())))
            }
            Self::Chunked(chunks) => {
                let piece = chunks.next(inbox)?;
                if chunks.is_done() {
                    *self = Self::Done;
                }
                Ok(piece)
            }
            Self::UntilClose => Ok(Some(Piece::Data(inbox.split().freeze()))),
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Notes that so much of it was taken off the wire unseen.
    pub(super) fn took(&mut self, bytes: usize) {
        if let Self::Known(left) = self {
            *left = left.saturating_sub(bytes as u64);
            if *left == 0 {
                *self = Self::Done;
            }
        }
    }

    /// What is still to come, if the head or the end has said it.
    pub(super) const fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Known(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Notes the end of the sender's direction. Gives whether the body may end so.
    pub(super) fn end(&mut self) -> bool {
        match self {
            Self::Done => true,
            Self::UntilClose => {
                *self = Self::Done;
                true
            }
            Self::Known(_) | Self::Chunked(_) => false,
        }
    }
}
