use std::task::{Context, Poll};

use super::outbox::{Large, Outbox};
use crate::http::codec::Length;
use crate::http::codec::encode;
use crate::http::parcel::{Parcel, Parcels};

/// The body of a message on its way to the wire.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    body: B,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes are still to go.
    Known(u64),
    Chunked,
    UntilClose,
    /// All of it is in the outbox, or the message has none.
    Done,
}

/// How far a body has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// All of it is in the outbox.
    All,
    /// The outbox is full.
    Full,
    /// The body has to give more first.
    Waiting,
}

/// Why a body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unloadable<E> {
    /// The body has failed.
    #[error(transparent)]
    Failed(E),
    /// It is not of the length that the head has said: a fault of ours, as whoever gave it was held to it.
    #[error("a body differs from its declared length")]
    Length,
}

impl<B: Parcels> Outgoing<B> {
    pub(super) fn new(body: B, length: Length) -> Self {
        let framing = match length {
            Length::Empty => Framing::Done,
            // Polled to its end all the same, which is how a body learns of it.
            Length::Known(length) => Framing::Known(length),
            Length::Chunked => Framing::Chunked,
            Length::UntilClose => Framing::UntilClose,
        };
        Self { body, framing }
    }

    pub(super) fn into_body(self) -> B {
        self.body
    }

    /// Moves what the body has to give into the outbox.
    ///
    /// # Errors
    /// The body has failed; what it gave before is in the outbox.
    pub(super) fn load(
        &mut self,
        outbox: &mut Outbox,
        context: &mut Context<'_>,
    ) -> Result<Loaded, Unloadable<B::Error>> {
        loop {
            if self.framing == Framing::Done {
                return Ok(Loaded::All);
            }
            if !outbox.has_room() {
                return Ok(Loaded::Full);
            }
            let parcel = match self.body.poll_parcel(context, outbox.takes()) {
                Poll::Pending => return Ok(Loaded::Waiting),
                Poll::Ready(Some(Ok(parcel))) => parcel,
                Poll::Ready(Some(Err(error))) => return Err(Unloadable::Failed(error)),
                Poll::Ready(None) => {
                    self.finish(outbox, None)?;
                    continue;
                }
            };
            match parcel {
                Parcel::Piped(pipe) => self.put(outbox, Large::Piped(pipe))?,
                Parcel::Frame(frame) => match frame.into_data() {
                    Ok(data) => self.put(outbox, Large::Bytes(data))?,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.finish(outbox, Some(&trailers))?;
                        }
                    }
                },
            }
            if self.framing == Framing::Chunked && self.body.is_end_stream() {
                // The last chunk goes with the last data, in one write.
                self.finish(outbox, None)?;
            }
        }
    }

    fn put(&mut self, outbox: &mut Outbox, data: Large) -> Result<(), Unloadable<B::Error>> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Known(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Unloadable::Length)?;
                let last = *left == 0;
                outbox.push(data);
                if last {
                    self.framing = Framing::Done;
                }
            }
            Framing::Chunked => {
                encode::chunk_begin(outbox.text(), data.len());
                outbox.push(data);
                outbox.text().extend_from_slice(b"\r\n");
            }
            Framing::UntilClose => outbox.push(data),
            Framing::Done => {}
        }
        Ok(())
    }

    fn finish(&mut self, outbox: &mut Outbox, trailers: Option<&http::HeaderMap>) -> Result<(), Unloadable<B::Error>> {
        match self.framing {
            Framing::Known(left) if left > 0 => return Err(Unloadable::Length),
            Framing::Chunked => encode::last_chunk(outbox.text(), trailers),
            Framing::Known(_) | Framing::UntilClose | Framing::Done => {}
        }
        self.framing = Framing::Done;
        Ok(())
    }
}
