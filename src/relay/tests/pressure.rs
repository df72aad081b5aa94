//! Sides that take bytes slowly, late, or not at all.

use socket2::SockRef;

use super::*;

/// Buffers so small that the kernel holds little, and the relay has to.
async fn narrow(limits: Limits) -> (TcpStream, TcpStream, Rig) {
    let ((client, near), (far, target)) = (pair().await, pair().await);
    for stream in [&client, &near, &far, &target] {
        SockRef::from(stream).set_send_buffer_size(8 * 1024).unwrap();
        SockRef::from(stream).set_recv_buffer_size(8 * 1024).unwrap();
    }
    (client, target, Rig::start(near, far, limits))
}

/// Writes until nothing on the way takes more, and returns how much that was.
async fn fill(stream: &TcpStream, chunk: &[u8]) -> usize {
    let mut written = 0;
    loop {
        match timeout(Duration::from_millis(100), stream.writable()).await {
            Err(_) => return written,
            Ok(ready) => ready.unwrap(),
        }
        if let Ok(count) = stream.try_write(chunk) {
            written += count;
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_sender_and_nothing_is_lost_when_it_resumes() {
    let (mut client, mut target, rig) = narrow(PATIENT).await;
    let chunk = [9; 4096];
    let written = fill(&client, &chunk).await;
    // Four sockets of 8 KiB (the kernel doubles what is asked for, socket(7)), and the relay's one buffer.
    assert!(written < 4 * 2 * 8 * 1024 + 64 * 1024 + chunk.len(), "{written} bytes on the way");
    assert!(rig.traffic.bytes_in() < written as u64, "the relay counts what the target has not taken");
    // The other direction is not held up.
    target.write_all(b"still here").await.unwrap();
    client.read_exact(&mut [0; 10]).await.unwrap();
    client.shutdown().await.unwrap();
    let (seen, in_order) = read_all(&mut target).await;
    assert!(in_order && seen == vec![9; written]);
    target.shutdown().await.unwrap();
    rig.ends(Party::Client, Cause::Finished, written, 10).await;
}

#[tokio::test]
async fn a_reset_waits_for_a_slow_reader_to_have_all_that_came_before_it() {
    let (mut client, mut target, rig) = narrow(PATIENT).await;
    let sent = payload(40_000, 5);
    target.write_all(&sent).await.unwrap();
    acknowledged(&target).await;
    reset(target);
    let mut seen = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match timeout(LONG, client.read(&mut chunk)).await.unwrap() {
            Ok(count) => seen.extend_from_slice(&chunk[..count]),
            Err(error) => break assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    assert!(seen == sent, "{} of {}", seen.len(), sent.len());
    rig.ends(Party::Target, Cause::Reset, 0, sent.len()).await;
}

#[tokio::test]
async fn a_reset_behind_bytes_that_wait_is_noticed_and_does_not_wait_longer_than_linger() {
    let (client, target, rig) = narrow(Limits { linger: Duration::from_millis(80), ..PATIENT }).await;
    fill(&target, &[1; 4096]).await;
    reset(target);
    let outcome = timeout(LONG, rig.task).await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::new(Phase::Relay, Party::Target, Cause::Reset));
    drop(client);
}

#[tokio::test]
async fn last_bytes_that_a_stopped_reader_does_not_take_end_the_relay_after_linger() {
    let ((client, near), (far, mut target)) = (pair().await, pair().await);
    SockRef::from(&near).set_send_buffer_size(8 * 1024).unwrap();
    SockRef::from(&client).set_recv_buffer_size(8 * 1024).unwrap();
    let rig = Rig::start(near, far, Limits { linger: Duration::from_millis(60), ..PATIENT });
    // More than the client's side holds, and no more than the target's side does: the end is known, and out of reach.
    let sent = payload(120_000, 6);
    target.write_all(&sent).await.unwrap();
    target.shutdown().await.unwrap();
    let traffic = Arc::clone(&rig.traffic);
    let outcome = timeout(LONG, rig.task).await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::new(Phase::Relay, Party::Client, Cause::LingerTimeout));
    assert!(traffic.bytes_out() < sent.len() as u64);
    drop(client);
}

#[tokio::test]
async fn a_half_closed_relay_goes_on_as_long_as_bytes_move() {
    let limits = Limits { idle: Duration::from_millis(500), half_closed: Duration::from_millis(500), ..PATIENT };
    for side in [Side::Client, Side::Target] {
        let (client, target, rig) = wired(limits).await;
        let (mut ended, mut talker) = match side {
            Side::Client => (client, target),
            Side::Target => (target, client),
        };
        ended.shutdown().await.unwrap();
        assert!(read_all(&mut talker).await.1);
        let started = Instant::now();
        let mut ticks = 0;
        while started.elapsed() < Duration::from_millis(1200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            talker.write_all(b"tick").await.unwrap();
            ended.read_exact(&mut [0; 4]).await.unwrap();
            ticks += 4;
        }
        talker.shutdown().await.unwrap();
        assert!(read_all(&mut ended).await.1);
        let (bytes_in, bytes_out) = if side == Side::Client { (0, ticks) } else { (ticks, 0) };
        rig.ends(side.party(), Cause::Finished, bytes_in, bytes_out).await;
    }
}
