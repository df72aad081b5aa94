//! The states of streams, and the frames that belong to one (RFC 9113 sections 5.1 to 5.3, 6.1 to 6.4, 6.6, 6.10).

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM,
    WHOLE, WINDOW_UPDATE, asks, begins, frame, get, get_with, post,
};
use super::{
    Answer, Connection, FRAME_SIZE_ERROR, Fine, GENERIC, PROTOCOL_ERROR, REFUSED_STREAM, Row, STREAM_CLOSED, Stream,
    hold, row,
};

const CANCEL: &[u8] = &[0, 0, 0, 8];

/// A POST on stream 1 that its client has given up.
fn given_up() -> Vec<u8> {
    [begins(&post()), frame(RST_STREAM, 0, 1, CANCEL)].concat()
}

fn rows_of_states() -> Vec<Row> {
    let one_too_many =
        (0..129).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &post())).collect::<Vec<u8>>();
    vec![
        row("9113 5.1", "DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), &[Connection(PROTOCOL_ERROR)]),
        row("9113 5.1", "RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, CANCEL), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 5.1",
            "WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 5.1",
            "CONTINUATION on an idle stream",
            frame(CONTINUATION, END_HEADERS, 1, &get()),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row("9113 5.1", "PRIORITY on an idle stream", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), &[Fine]),
        row(
            "9113 5.1",
            "DATA behind the end of a request",
            [asks(&get()), frame(DATA, END_STREAM, 1, b"x")].concat(),
            &[Stream(1, STREAM_CLOSED), Connection(STREAM_CLOSED), GENERIC],
        ),
        row(
            "9113 5.1",
            "HEADERS behind the end of a request",
            [asks(&get()), asks(&get())].concat(),
            &[Stream(1, STREAM_CLOSED), Connection(STREAM_CLOSED), GENERIC],
        ),
        row(
            "9113 5.1",
            "CONTINUATION behind the end of a request",
            [asks(&get()), frame(CONTINUATION, END_HEADERS, 1, &get())].concat(),
            &[Connection(PROTOCOL_ERROR), Connection(STREAM_CLOSED)],
        ),
        row(
            "9113 5.1",
            "WINDOW_UPDATE behind the end of a request",
            [asks(&get()), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])].concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 5.1",
            "RST_STREAM behind the end of a request",
            [asks(&get()), frame(RST_STREAM, 0, 1, CANCEL)].concat(),
            &[Fine],
        ),
        // A server may take these for what was on its way, and throw them away.
        row(
            "9113 5.1",
            "DATA behind RST_STREAM",
            [given_up(), frame(DATA, END_STREAM, 1, b"x")].concat(),
            &[Stream(1, STREAM_CLOSED), Connection(STREAM_CLOSED), Fine],
        ),
        row(
            "9113 5.1",
            "HEADERS behind RST_STREAM",
            [given_up(), asks(&get())].concat(),
            &[Stream(1, STREAM_CLOSED), Connection(STREAM_CLOSED), Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 5.1",
            "DATA on a stream that both have ended",
            asks(&get()),
            &[Stream(1, STREAM_CLOSED), Connection(STREAM_CLOSED), Connection(PROTOCOL_ERROR)],
        )
        .then(frame(DATA, END_STREAM, 1, b"x")),
        row(
            "9113 5.1",
            "HEADERS on a stream that both have ended",
            asks(&get()),
            &[Stream(1, STREAM_CLOSED), Connection(STREAM_CLOSED), Connection(PROTOCOL_ERROR)],
        )
        .then(asks(&get())),
        row("9113 5.1", "WINDOW_UPDATE on a stream that both have ended", asks(&get()), &[Fine]).then(frame(
            WINDOW_UPDATE,
            0,
            1,
            &[0, 0, 0, 1],
        )),
        row("9113 5.1", "RST_STREAM on a stream that both have ended", asks(&get()), &[Fine])
            .then(frame(RST_STREAM, 0, 1, CANCEL)),
        row("9113 5.1", "PRIORITY on a stream that both have ended", asks(&get()), &[Fine]).then(frame(
            PRIORITY,
            0,
            1,
            &[0, 0, 0, 3, 1],
        )),
        row("9113 5.1.1", "an even number", frame(HEADERS, WHOLE, 2, &get()), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 5.1.1",
            "a number below one that was used",
            [frame(HEADERS, WHOLE, 5, &get()), frame(HEADERS, WHOLE, 3, &get())].concat(),
            &[Connection(PROTOCOL_ERROR), Connection(STREAM_CLOSED)],
        ),
        row("9113 5.1.1", "numbers that are left out", frame(HEADERS, WHOLE, 77, &get()), &[Answer(77, 200)]),
        row(
            "9113 5.1.2",
            "one stream more than is allowed",
            one_too_many,
            &[Stream(257, REFUSED_STREAM), Stream(257, PROTOCOL_ERROR)],
        ),
        // Priorities are no more (RFC 9113 section 5.3.2): whoever ignores them sees no fault in these.
        row(
            "9113 5.3.1",
            "PRIORITY that depends on its own stream",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1]),
            &[Stream(1, PROTOCOL_ERROR), Connection(PROTOCOL_ERROR), Fine],
        ),
        row(
            "9113 5.3.1",
            "HEADERS that depend on their own stream",
            frame(HEADERS, WHOLE | PRIORITIZED, 1, &[&[0, 0, 0, 1, 1], &get()[..]].concat()),
            &[Stream(1, PROTOCOL_ERROR), Connection(PROTOCOL_ERROR), Answer(1, 200)],
        ),
    ]
}

#[test]
fn each_frame_is_held_to_the_state_of_its_stream() {
    hold(&rows_of_states(), false);
}

fn rows_of_frames() -> Vec<Row> {
    let (begun, rest) = (get(), get_with(&[("x-long", "yes")])[get().len()..].to_vec());
    vec![
        row("9113 6.1", "DATA of no stream", frame(DATA, 0, 0, b"x"), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 6.1",
            "DATA that is padded",
            [begins(&post()), frame(DATA, END_STREAM | PADDED, 1, &[2, b'x', 0, 0])].concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 6.1",
            "DATA with more padding than there is",
            [begins(&post()), frame(DATA, END_STREAM | PADDED, 1, &[5, b'x', 0, 0])].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row("9113 6.2", "HEADERS of no stream", frame(HEADERS, WHOLE, 0, &get()), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 6.2",
            "HEADERS that are padded and have a priority",
            frame(HEADERS, WHOLE | PADDED | PRIORITIZED, 1, &[&[3, 0, 0, 0, 0, 9], &get()[..], &[0; 3]].concat()),
            &[Answer(1, 200)],
        ),
        row(
            "9113 6.2",
            "HEADERS with more padding than there is",
            frame(HEADERS, WHOLE | PADDED, 1, &[&[0xff], &get()[..]].concat()),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 6.3",
            "PRIORITY of no stream",
            frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 1]),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 6.3",
            "PRIORITY that is cut",
            [begins(&post()), frame(PRIORITY, 0, 1, &[0, 0, 0, 3])].concat(),
            &[Stream(1, FRAME_SIZE_ERROR), Connection(FRAME_SIZE_ERROR), GENERIC],
        ),
        row("9113 6.4", "RST_STREAM of no stream", frame(RST_STREAM, 0, 0, CANCEL), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 6.4",
            "RST_STREAM that is cut",
            [begins(&post()), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[Connection(FRAME_SIZE_ERROR), GENERIC],
        ),
        row(
            "9113 6.6",
            "PUSH_PROMISE of a client",
            [begins(&post()), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &get()[..]].concat())].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 6.10",
            "a block in three frames",
            [
                frame(HEADERS, END_STREAM, 1, &begun),
                frame(CONTINUATION, 0, 1, &rest[..3]),
                frame(CONTINUATION, END_HEADERS, 1, &rest[3..]),
            ]
            .concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 6.10",
            "CONTINUATION of no stream",
            [frame(HEADERS, END_STREAM, 1, &begun), frame(CONTINUATION, END_HEADERS, 0, &rest)].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 6.10",
            "CONTINUATION behind the end of a block",
            [begins(&post()), frame(CONTINUATION, END_HEADERS, 1, &rest)].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 6.10",
            "CONTINUATION behind DATA",
            [begins(&post()), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, &rest)].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
    ]
}

#[test]
fn frames_of_streams_are_held_to_their_form() {
    hold(&rows_of_frames(), false);
}
