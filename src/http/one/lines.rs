/// Looks for the empty line that ends a block of lines, each byte once, however the bytes come; and for what makes one
/// reader see other lines than another.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What has been looked at.
    seen: usize,
    /// Where the line that is being looked at began.
    begin: usize,
}

/// What a line may not hold (RFC 9112 section 2.2, RFC 9110 section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFault {
    /// LF without CR before it.
    BareLf,
    /// CR without LF behind it.
    BareCr,
    /// NUL.
    Nul,
}

impl Lines {
    /// The place behind the empty line; `None` if it has not come. `bytes` are all of the block so far.
    ///
    /// # Errors
    /// A line is not one to all readers. Nothing is to be made of what follows.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, LineFault> {
        loop {
            let rest = bytes.get(self.seen..).unwrap_or_default();
            let Some(place) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.seen = bytes.len();
                return Ok(None);
            };
            let at = self.seen.saturating_add(place);
            match (bytes.get(at), bytes.get(at.saturating_add(1))) {
                (Some(b'\r'), Some(b'\n')) => {}
                (Some(b'\r'), None) => {
                    self.seen = at;
                    return Ok(None);
                }
                (Some(b'\r'), Some(_)) => return Err(LineFault::BareCr),
                (Some(b'\n'), _) => return Err(LineFault::BareLf),
                _ => return Err(LineFault::Nul),
            }
            let next = at.saturating_add(2);
            let empty = at == self.begin;
            self.seen = next;
            self.begin = next;
            if empty {
                return Ok(Some(next));
            }
        }
    }

    /// Whether a whole line has come.
    pub(super) const fn has_line(&self) -> bool {
        self.begin > 0
    }
}
