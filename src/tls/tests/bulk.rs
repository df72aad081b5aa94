//! Long transfers: read ahead, written in records of two sizes.

use super::*;

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// What a client of the library's own and our end have agreed on.
async fn connected() -> (tokio_rustls::client::TlsStream<TcpStream>, ClientTls<TcpStream>) {
    let authority = Authority::new();
    let server = policy(parameters(fixed(&authority.issue(&["a.test"]))));
    let (near, far) = tcp_pair().await;
    let connector = TlsConnector::from(authority.any_client());
    let name = ServerName::try_from("a.test").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, near), accept(far, &server, None, soon()));
    (client.unwrap(), server.unwrap())
}

/// Reads with buffers of this size until the end or an error.
async fn read_by(stream: &mut ClientTls<TcpStream>, size: usize) -> (Vec<u8>, io::Result<()>) {
    let (mut seen, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (seen, Ok(())),
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
            Err(error) => return (seen, Err(error)),
        }
    }
}

#[tokio::test]
async fn much_arrives_whole_both_ways_whatever_the_size_of_the_reads() {
    let sent = payload(1_500_001);
    for size in [1000, 16 * 1024, 64 * 1024] {
        let (client, mut server) = connected().await;
        let (mut client_reads, mut client_writes) = tokio::io::split(client);
        let upload = async {
            client_writes.write_all(&sent).await.unwrap();
            client_writes.shutdown().await.unwrap();
        };
        let ((), (seen, end)) = tokio::join!(upload, read_by(&mut server, size));
        assert!(seen == sent && end.is_ok());
        let mut answer = Vec::new();
        let download = async {
            for piece in sent.chunks(size) {
                server.write_all(piece).await.unwrap();
            }
            server.shutdown().await.unwrap();
        };
        let ((), read) = tokio::join!(download, client_reads.read_to_end(&mut answer));
        read.unwrap();
        assert!(answer == sent);
    }
}

#[tokio::test]
async fn what_came_before_a_broken_record_is_read_before_the_error_and_the_error_once_is_enough() {
    for size in [1000, 64 * 1024, 256 * 1024] {
        let (mut client, mut server) = connected().await;
        let sent = payload(50_000);
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
        // A record of application data that nothing has sealed.
        let broken = [&[23, 3, 3, 0, 20][..], &[7; 20]].concat();
        client.get_mut().0.write_all(&broken).await.unwrap();
        let reading = tokio::time::timeout(Duration::from_secs(20), read_by(&mut server, size));
        let (seen, end) = reading.await.unwrap();
        assert!(seen == sent, "{size}");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::InvalidData, "{size}");
    }
}

#[tokio::test]
async fn a_truncated_end_behind_what_was_read_ahead_is_told_apart() {
    let (mut client, mut server) = connected().await;
    let sent = payload(50_000);
    client.write_all(&sent).await.unwrap();
    client.flush().await.unwrap();
    client.get_mut().0.shutdown().await.unwrap();
    let (seen, end) = read_by(&mut server, 64 * 1024).await;
    assert!(seen == sent);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
