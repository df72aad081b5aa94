/// Bytes from a peer, taken from the front and never past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

/// A length points past the end of what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastEnd;

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PastEnd> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(PastEnd)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PastEnd> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PastEnd)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PastEnd> {
        self.array().map(u8::from_be_bytes)
    }

    /// A number in network order.
    pub(super) fn u16(&mut self) -> Result<u16, PastEnd> {
        self.array().map(u16::from_be_bytes)
    }

    /// A block behind its length in one byte.
    pub(super) fn block8(&mut self) -> Result<&'a [u8], PastEnd> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A block behind its length in two bytes.
    pub(super) fn block16(&mut self) -> Result<&'a [u8], PastEnd> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
