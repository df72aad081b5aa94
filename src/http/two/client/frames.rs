use tokio::time::Instant;

use super::delivered::Delivered;

/// The client connection preface (RFC 9113 section 3.4).
const PREFACE_BYTES: u64 = 24;

/// A frame's header (RFC 9113 section 4.1).
const HEADER_BYTES: usize = 9;

/// Frames that ask for nothing which a client may send at once. Envoy lets 100 PRIORITY frames a stream through and one empty
/// frame in a row, nginx 1 MiB of overhead.
pub(super) const IDLE_FRAMES_MAX: u32 = 1000;

/// What the client earns by a frame that asks for something, or takes something: Envoy, too, lets ten WINDOW_UPDATE frames come
/// for each DATA frame that was sent.
const EARNED_BY_FRAME: u32 = 10;

/// What the client earns by waiting: keep-alive pings of a connection that lives for days.
const EARNED_BY_SECOND: u32 = 10;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// The first bit beside a stream's number is reserved (RFC 9113 section 4.1).
const STREAM_BITS: u32 = 0x7fff_ffff;

/// Holds an HTTP/2 client to sending frames that ask for something (RFC 9113 section 10.5): each PING, SETTINGS, PRIORITY,
/// WINDOW_UPDATE, RST_STREAM, empty or unknown frame costs a little of a budget that useful frames and time fill up again.
///
/// Only the headers of frames are looked at; what is wrong with a frame is for the h2 crate to say.
#[derive(Debug)]
pub(super) struct FrameBudget {
    from_client: Frames,
    to_client: Frames,
    delivered: Delivered,
    head: Head,
    left: u32,
    filled: Instant,
}

/// Where one direction stands within its frames.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// How much of the header has come.
    come: usize,
    /// What is still to come of the payload, or of the preface.
    payload: u64,
}

/// The head of a request or its trailers, in a HEADERS frame and those that go on with it: nothing may come between these (RFC
/// 9113 section 4.3), so it holds up all of the connection.
#[derive(Debug, Default)]
struct Head {
    /// How many have come before, and this one.
    number: u64,
    open: bool,
    /// The frame at hand is its last.
    last: bool,
    /// The size of its frames so far.
    announced: u64,
}

impl Head {
    fn see(&mut self, frame: Frame) {
        match frame.kind {
            HEADERS => *self = Self { number: self.number.wrapping_add(1), open: true, last: false, announced: 0 },
            CONTINUATION if self.open => {}
            _ => self.open = false,
        }
        self.last = frame.flags & END_HEADERS != 0;
        self.announced = self.announced.saturating_add(u64::from(frame.length));
    }
}

/// A frame by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameBudget {
    pub(super) fn new() -> Self {
        Self {
            from_client: Frames { payload: PREFACE_BYTES, ..Frames::default() },
            to_client: Frames::default(),
            delivered: Delivered::default(),
            head: Head::default(),
            left: IDLE_FRAMES_MAX,
            filled: Instant::now(),
        }
    }

    /// Looks at what has come from the client. Gives whether its budget allows for it.
    pub(super) fn received(&mut self, bytes: &[u8]) -> bool {
        let Self { from_client, head, left, filled, .. } = self;
        let mut allowed = true;
        from_client.feed(bytes, |frame| {
            head.see(frame);
            if frame.is_useful() {
                earn(left, EARNED_BY_FRAME);
                return;
            }
            if *left == 0 {
                let seconds = u32::try_from(filled.elapsed().as_secs()).unwrap_or(u32::MAX);
                *filled = Instant::now();
                earn(left, seconds.saturating_mul(EARNED_BY_SECOND));
            }
            match left.checked_sub(1) {
                Some(rest) => *left = rest,
                None => allowed = false,
            }
        });
        allowed
    }

    /// The number of the head that has begun to come from the client and is not whole, and how much of it has come.
    pub(super) fn head(&self) -> Option<(u64, u64)> {
        let missing = self.from_client.payload;
        let open = self.head.open && (missing > 0 || !self.head.last);
        open.then(|| (self.head.number, self.head.announced.saturating_sub(missing)))
    }

    /// Looks at what was written to the client's socket.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Self { to_client, delivered, left, .. } = self;
        to_client.feed(bytes, |frame| {
            delivered.see(frame.stream, (frame.kind == DATA).then_some(frame.length));
            if frame.kind == DATA && frame.length > 0 {
                earn(left, EARNED_BY_FRAME);
            }
        });
    }

    /// How much of the body of a stream's answer the client's socket has.
    pub(super) fn delivered(&self, stream: u32) -> u64 {
        self.delivered.of(stream, self.to_client.payload)
    }

    /// Somebody will ask for this stream.
    pub(super) fn follow(&mut self, stream: u32) {
        self.delivered.follow(stream);
    }

    /// Nobody asks for a stream any more.
    pub(super) fn forget(&mut self, stream: u32) {
        self.delivered.forget(stream);
    }
}

fn earn(left: &mut u32, earned: u32) {
    *left = left.saturating_add(earned).min(IDLE_FRAMES_MAX);
}

impl Frame {
    const fn is_useful(self) -> bool {
        match self.kind {
            DATA => self.length > 0 || self.flags & END_STREAM != 0,
            HEADERS | CONTINUATION => self.length > 0,
            _ => false,
        }
    }
}

impl Frames {
    fn feed(&mut self, bytes: &[u8], mut frame: impl FnMut(Frame)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(rest.len());
                self.payload = self.payload.saturating_sub(skipped as u64);
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            let Some(room) = self.header.get_mut(self.come..) else { return };
            let taken = room.len().min(rest.len());
            let (head, tail) = rest.split_at(taken);
            for (place, byte) in room.iter_mut().zip(head) {
                *place = *byte;
            }
            self.come = self.come.saturating_add(taken);
            rest = tail;
            if self.come == HEADER_BYTES {
                let [high, middle, low, kind, flags, stream @ ..] = self.header;
                let length = u32::from_be_bytes([0, high, middle, low]);
                (self.come, self.payload) = (0, u64::from(length));
                frame(Frame { length, kind, flags, stream: u32::from_be_bytes(stream) & STREAM_BITS });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER_BYTES + payload, 0);
        bytes
    }

    fn preface() -> FrameBudget {
        let mut budget = FrameBudget::new();
        assert!(budget.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        budget
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_ask_for_nothing_are_allowed_up_to_the_limit() {
        let idle = [(0x6, 8), (0x4, 0), (0x2, 5), (0x3, 4), (0x8, 4), (0x0, 0), (0x1, 0), (0x9, 0), (0xee, 3)];
        for (kind, payload) in idle {
            let mut budget = preface();
            for _ in 0..IDLE_FRAMES_MAX {
                assert!(budget.received(&frame(kind, 0, payload)), "{kind}");
            }
            assert!(!budget.received(&frame(kind, 0, payload)), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn useful_frames_either_way_and_time_earn_others() {
        let ping = frame(0x6, 0, 8);
        for useful in [frame(DATA, 0, 1), frame(DATA, END_STREAM, 0), frame(HEADERS, 0, 1)] {
            let mut budget = preface();
            for _ in 0..10_000 {
                assert!(budget.received(&useful) && budget.received(&ping.repeat(10)));
            }
        }
        let mut budget = preface();
        for _ in 0..10_000 {
            budget.sent(&frame(DATA, 0, 5));
            assert!(budget.received(&ping.repeat(10)));
        }
        let mut budget = preface();
        assert!(budget.received(&ping.repeat(1000)));
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(budget.received(&ping.repeat(10)));
        }
        assert!(!budget.received(&ping));
        // An answer to a ping is none.
        budget.sent(&frame(0x6, 1, 8));
        assert!(!budget.received(&ping));
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_are_cut(
            frames in proptest::collection::vec((any::<u8>(), any::<u8>(), 0_usize..40), 0..20),
            cut in 1_usize..50,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
            let mut seen = Vec::new();
            let mut parser = Frames::default();
            for piece in bytes.chunks(cut) {
                parser.feed(piece, |frame| seen.push((frame.kind, frame.flags, frame.length as usize)));
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut parser = Frames::default();
            parser.feed(&bytes, |_| {});
        }
    }

    #[test]
    fn a_head_is_under_way_until_its_last_byte() {
        let head = [frame(HEADERS, 0, 5), frame(CONTINUATION, 0, 3), frame(CONTINUATION, END_HEADERS, 2)].concat();
        let mut budget = FrameBudget::new();
        assert!(budget.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        for number in 1..=2 {
            for (at, byte) in head.iter().enumerate() {
                budget.received(&[*byte]);
                // The header of a frame, or a part of it, is none of the head.
                let come =
                    [14, 26, 37].iter().zip([5_u64, 3, 2]).zip([9, 23, 35]).fold(0, |come, ((end, size), begin)| {
                        come + if at >= *end { size } else { size.min((at + 1).saturating_sub(begin) as u64) }
                    });
                let under_way = (8..head.len() - 1).contains(&at);
                assert_eq!(budget.head(), under_way.then_some((number, come)), "{at}");
            }
            // Whatever comes between two is none.
            budget.received(&frame(DATA, 0, 4));
            assert_eq!(budget.head(), None);
        }
    }
}
