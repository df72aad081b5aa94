/// How much of each answer's body has been written to the client's socket.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// The streams that are followed, with their bytes.
    streams: Vec<(u32, u64)>,
    /// Whose frame is being written.
    current: Option<u32>,
}

impl Delivered {
    /// Somebody will ask for this stream.
    pub(super) fn follow(&mut self, stream: u32) {
        self.streams.push((stream, 0));
    }

    /// The header of a frame has been written. `data`: what it announces of a body.
    pub(super) fn see(&mut self, stream: u32, data: Option<u32>) {
        self.current = data.map(|_| stream);
        if let Some(length) = data
            && let Some((_, bytes)) = self.streams.iter_mut().rev().find(|(known, _)| *known == stream)
        {
            *bytes = bytes.saturating_add(u64::from(length));
        }
    }

    /// What has been written of a stream's body, if `missing` of the frame at hand has not.
    pub(super) fn of(&self, stream: u32, missing: u64) -> u64 {
        let announced = self.streams.iter().rev().find(|(known, _)| *known == stream).map_or(0, |(_, bytes)| *bytes);
        announced.saturating_sub(if self.current == Some(stream) { missing } else { 0 })
    }

    /// Nobody asks for a stream any more.
    pub(super) fn forget(&mut self, stream: u32) {
        if let Some(place) = self.streams.iter().rposition(|(known, _)| *known == stream) {
            self.streams.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_has_its_own_bytes_and_the_frame_at_hand_counts_as_far_as_it_has_gone() {
        let mut delivered = Delivered::default();
        delivered.follow(1);
        delivered.follow(3);
        delivered.see(1, Some(10));
        delivered.see(3, Some(20));
        delivered.see(5, Some(9));
        delivered.see(1, Some(5));
        assert_eq!((delivered.of(1, 2), delivered.of(3, 2), delivered.of(5, 2)), (13, 20, 0));
        // A head or another frame is none of a body.
        delivered.see(1, None);
        assert_eq!(delivered.of(1, 7), 15);
        delivered.forget(1);
        delivered.forget(7);
        delivered.see(1, Some(5));
        assert_eq!((delivered.of(1, 0), delivered.of(3, 0)), (0, 20));
    }
}
