use tokio::net::TcpStream;

/// Makes the socket's drop send a reset (RST) instead of FIN, and discard what it has not yet sent.
///
/// A socket that is gone already needs no reset, so a failure says nothing and is not reported.
pub fn reset_on_close(stream: &TcpStream) {
    // SO_LINGER with a time of zero: socket(7), RFC 9293 section 3.9.1 ABORT. It does not block the close.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_drop_resets_only_once_asked_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for reset in [false, true] {
            let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (far, _) = listener.accept().await.unwrap();
            if reset {
                reset_on_close(&near);
            }
            drop(near);
            let mut far = far.into_std().unwrap();
            far.set_nonblocking(false).unwrap();
            match far.read(&mut [0; 8]) {
                Ok(count) => assert!(!reset && count == 0),
                Err(error) => assert!(reset && error.kind() == ErrorKind::ConnectionReset),
            }
        }
    }
}
