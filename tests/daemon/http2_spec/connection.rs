//! Frames as such, and those of the whole connection (RFC 9113 sections 3.4, 4, 5.5, 6.5, 6.7 to 6.9, 7).

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WHOLE, WINDOW_UPDATE, asks, begins, frame, get, post,
};
use super::{
    Answer, COMPRESSION_ERROR, Closed, Connection, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Fine, GENERIC, PROTOCOL_ERROR,
    Row, Stream, hold, row,
};

const TOO_LARGE: usize = 16_384 + 1;
const WINDOW_MAX: u32 = 0x7fff_ffff;

fn setting(identifier: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn rows_of_frames() -> Vec<Row> {
    vec![
        row("9113 3.4", "a preface that is none", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), &[Closed]).unopened(),
        row(
            "9113 3.4",
            "no SETTINGS after the preface",
            [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
            &[Connection(PROTOCOL_ERROR), Closed],
        )
        .unopened(),
        row("9113 4.1", "a frame of a kind that nobody knows", frame(0xee, 0xff, 0, b"what"), &[Fine]),
        row(
            "9113 4.1",
            "the same on a stream",
            [begins(&post()), frame(0xee, 0, 1, b"what"), frame(DATA, END_STREAM, 1, b"x")].concat(),
            &[Answer(1, 200)],
        ),
        row("9113 4.1", "flags that nobody knows", frame(PING, 0xfe, 0, &[0; 8]), &[Fine]),
        row(
            "9113 4.1",
            "the reserved bit of a stream's number",
            frame(HEADERS, WHOLE, 0x8000_0001, &get()),
            &[Answer(1, 200)],
        ),
        row(
            "9113 4.2",
            "DATA of the largest size",
            [begins(&post()), frame(DATA, END_STREAM, 1, &[b'x'; TOO_LARGE - 1])].concat(),
            &[Answer(1, 200)],
        ),
        row(
            "9113 4.2",
            "DATA above the largest size",
            [begins(&post()), frame(DATA, END_STREAM, 1, &[b'x'; TOO_LARGE])].concat(),
            &[Stream(1, FRAME_SIZE_ERROR), Connection(FRAME_SIZE_ERROR)],
        ),
        row(
            "9113 4.2",
            "HEADERS above the largest size",
            asks(&[get(), vec![0; TOO_LARGE]].concat()),
            &[Connection(FRAME_SIZE_ERROR)],
        ),
        row(
            "9113 4.2",
            "SETTINGS above the largest size",
            frame(SETTINGS, 0, 0, &[0; 6 * 3000]),
            &[Connection(FRAME_SIZE_ERROR)],
        ),
        row(
            "9113 4.3",
            "a block that is no HPACK",
            asks(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            &[Connection(COMPRESSION_ERROR), GENERIC],
        ),
        row(
            "9113 4.3",
            "PRIORITY within a block",
            [
                frame(HEADERS, END_STREAM, 1, &get()),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]
            .concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 4.3",
            "HEADERS of another stream within a block",
            [frame(HEADERS, END_STREAM, 1, &get()), frame(HEADERS, WHOLE, 3, &get())].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 4.3",
            "CONTINUATION of another stream within a block",
            [frame(HEADERS, END_STREAM, 1, &get()), frame(CONTINUATION, END_HEADERS, 3, &get())].concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 5.5",
            "a frame of a kind that nobody knows within a block",
            [
                frame(HEADERS, END_STREAM, 1, &get()),
                frame(0xee, 0, 0, b"what"),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]
            .concat(),
            &[Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 7",
            "an error code that nobody knows in RST_STREAM",
            [begins(&post()), frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])].concat(),
            &[Fine],
        ),
        row(
            "9113 7",
            "an error code that nobody knows in GOAWAY",
            frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]),
            &[Fine, Closed],
        ),
    ]
}

#[test]
fn frames_are_told_apart_by_kind_size_and_place() {
    hold(&rows_of_frames(), false);
}

fn rows_of_the_connection() -> Vec<Row> {
    vec![
        row(
            "9113 6.5",
            "an acknowledgement that says more",
            frame(SETTINGS, ACK, 0, &[0]),
            &[Connection(FRAME_SIZE_ERROR), GENERIC],
        ),
        row("9113 6.5", "SETTINGS of a stream", frame(SETTINGS, 0, 1, &[]), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 6.5",
            "SETTINGS that are cut",
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0]),
            &[Connection(FRAME_SIZE_ERROR), GENERIC],
        ),
        row("9113 6.5.2", "ENABLE_PUSH that is neither 0 nor 1", setting(0x2, 2), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 6.5.2",
            "a window above the largest",
            setting(0x4, WINDOW_MAX + 1),
            &[Connection(FLOW_CONTROL_ERROR), GENERIC],
        ),
        row("9113 6.5.2", "frames below the smallest", setting(0x5, 16_383), &[Connection(PROTOCOL_ERROR)]),
        row("9113 6.5.2", "frames above the largest", setting(0x5, 1 << 24), &[Connection(PROTOCOL_ERROR)]),
        row("9113 6.5.2", "a setting that nobody knows", setting(0xfefe, 7), &[Fine]),
        row("9113 6.5.2", "streams that the client does not allow", setting(0x3, 0), &[Fine]),
        row("9113 6.7", "PING of a stream", frame(PING, 0, 1, &[0; 8]), &[Connection(PROTOCOL_ERROR)]),
        row("9113 6.7", "PING that is cut", frame(PING, 0, 0, &[0; 7]), &[Connection(FRAME_SIZE_ERROR), GENERIC]),
        row("9113 6.7", "an acknowledgement of no PING", frame(PING, ACK, 0, b"unasked?"), &[Fine]),
        row("9113 6.8", "GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[Connection(PROTOCOL_ERROR)]),
        row("9113 6.9", "no window for the connection", window(0, 0), &[Connection(PROTOCOL_ERROR)]),
        row(
            "9113 6.9",
            "no window for a stream",
            [begins(&post()), window(1, 0)].concat(),
            &[Stream(1, PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)],
        ),
        row(
            "9113 6.9",
            "WINDOW_UPDATE that is cut",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            &[Connection(FRAME_SIZE_ERROR), GENERIC],
        ),
        row(
            "9113 6.9.1",
            "a window of the connection above the largest",
            [window(0, WINDOW_MAX), window(0, WINDOW_MAX)].concat(),
            &[Connection(FLOW_CONTROL_ERROR)],
        ),
        row(
            "9113 6.9.1",
            "a window of a stream above the largest",
            [begins(&post()), window(1, WINDOW_MAX), window(1, WINDOW_MAX)].concat(),
            &[Stream(1, FLOW_CONTROL_ERROR)],
        ),
        row(
            "9113 6.9.2",
            "SETTINGS that carry a stream's window above the largest",
            [begins(&post()), window(1, WINDOW_MAX - 65_535), setting(0x4, 65_536)].concat(),
            &[Connection(FLOW_CONTROL_ERROR), Stream(1, FLOW_CONTROL_ERROR)],
        ),
        row(
            "9113 6.9.2",
            "a window of nothing holds no head up",
            [setting(0x4, 0), asks(&get())].concat(),
            &[Answer(1, 200)],
        ),
    ]
}

#[test]
fn settings_pings_and_windows_are_held_to_their_rules() {
    hold(&rows_of_the_connection(), false);
}
