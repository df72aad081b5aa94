//! As much of HTTP/1.1 as the tests need: written out, so that what is on the wire is what the test says.

use std::collections::BTreeMap;
use std::io::Read;

use super::peer::{Peer, lossy};

/// An HTTP message: its first line, its fields by lower-case name, and its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The path of a request.
    pub(crate) fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a field, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Peer {
    /// Sends a GET for a path of a host.
    pub(crate) fn request(&mut self, host: &str, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes());
    }

    /// Sends a request and reads the answer.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> Message {
        self.request(host, path);
        self.message()
    }

    /// Reads a whole message; one without a length has no body.
    pub(crate) fn message(&mut self) -> Message {
        let mut message = parsed_head(&self.head());
        message.body = match (message.field("content-length").parse(), message.field("transfer-encoding")) {
            (Ok(length), _) => self.receive(length),
            (_, "chunked") => self.chunks(),
            _ => Vec::new(),
        };
        message
    }

    /// Answers with 200 and a body.
    pub(crate) fn answer(&mut self, body: &str) {
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = self.line();
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.unwrap_or_else(|_| panic!("a chunk without a size after {:?}", lossy(&body)));
            if size == 0 {
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.receive(size));
            assert_eq!(self.line(), "");
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte).expect("the end within a chunked body");
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }
}

/// A head's lines.
pub(crate) fn parsed_head(head: &str) -> Message {
    let mut lines = head.trim_end().split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Message { start, fields, body: Vec::new() }
}

/// The content of a chunked body that has come whole.
pub(crate) fn unchunked(mut body: &str) -> String {
    let mut content = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        content.push_str(chunk);
        body = rest.get(size..).unwrap_or_default().trim_start_matches("\r\n");
    }
    content
}
