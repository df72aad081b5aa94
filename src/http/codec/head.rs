use bytes::{Buf, BytesMut};
use http::Method;

use super::fault::HeadFault;
use super::lines::Lines;
use super::request_head::{self, RequestHead};
use super::response_head::{self, ResponseHead};

/// The longest request target that can be told from others (`http::Uri` counts in 16 bits); a limit above it is this one.
pub const TARGET_MAX: usize = u16::MAX as usize - 1;

/// How long a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// All of it with the empty line at its end, in bytes; for a request also the empty lines before it.
    pub head: usize,
    /// The request target, in bytes, at most [`TARGET_MAX`].
    pub target: usize,
}

/// Finds the end of a head while its bytes arrive, each looked at once, and takes the head apart.
///
/// After a head it stands before the next one. After a fault the connection is to be closed: what the buffer holds then
/// is not said.
#[derive(Debug, Default)]
pub struct HeadScan {
    lines: Lines,
    /// The bytes of empty lines before the head, which are gone from the buffer.
    skipped: usize,
}

impl HeadScan {
    /// Whether a byte of a head has been seen; empty lines before it do not count.
    #[must_use]
    pub const fn begun(&self) -> bool {
        self.lines.begun()
    }

    /// Takes a request's head off the front of `buffer`, once all of it is there; `None` if more is needed.
    ///
    /// `buffer` holds what came after the message before. Empty lines in front are passed over (RFC 9112 section 2.2).
    ///
    /// # Errors
    /// The client's; [`HeadFault::status`] tells it.
    pub fn request(&mut self, buffer: &mut BytesMut, limits: &HeadLimits) -> Result<Option<RequestHead>, HeadFault> {
        if !self.lines.begun() {
            let (lines, _) = buffer.as_chunks::<2>();
            let skipped = 2 * lines.iter().take_while(|line| *line == b"\r\n").count();
            buffer.advance(skipped);
            self.skipped += skipped;
        }
        let limit = limits.head.saturating_sub(self.skipped);
        let target = limits.target.min(TARGET_MAX);
        let end = self.lines.find_end(buffer, limit, |line| request_head::check_line(line, target));
        let end = end.map_err(|fault| match fault {
            // What fills the head before its first line has ended is the target.
            HeadFault::TooLarge if self.lines.in_first() && buffer.get(..limit).unwrap_or(buffer).contains(&b' ') => {
                HeadFault::TargetTooLong
            }
            fault => fault,
        })?;
        let Some(end) = end else { return Ok(None) };
        let fields = std::mem::take(self).lines.fields();
        request_head::parse(&buffer.split_to(end).freeze(), fields).map(Some)
    }

    /// Takes a response's head off the front of `buffer`, once all of it is there; `None` if more is needed.
    ///
    /// `buffer` holds what came after the message before, `asked` is the method of the request that is answered.
    ///
    /// # Errors
    /// The target's; nothing that it sends on this connection can be trusted any more.
    pub fn response(
        &mut self,
        buffer: &mut BytesMut,
        limits: &HeadLimits,
        asked: &Method,
    ) -> Result<Option<ResponseHead>, HeadFault> {
        let Some(end) = self.lines.find_end(buffer, limits.head, response_head::check_line)? else { return Ok(None) };
        let fields = std::mem::take(self).lines.fields();
        response_head::parse(&buffer.split_to(end).freeze(), fields, asked).map(Some)
    }
}
