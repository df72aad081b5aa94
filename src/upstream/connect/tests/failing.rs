use std::io;
use std::sync::Mutex;

use super::*;

fn failures(error: &ConnectError) -> Vec<(String, String)> {
    error.attempts.iter().map(|attempt| (attempt.target.to_string(), format!("{:?}", attempt.failure))).collect()
}

#[tokio::test]
async fn b1_a_refusal_is_an_error_with_a_cause_and_leaves_nothing() {
    let (_port, address) = refusing();
    let world = World::new(vec![at(address)]).await;
    let error = world.connect().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::new(Phase::Connect, Party::Target, Cause::Refused));
    assert_eq!(failures(&error), [(address.to_string(), "Refused".to_owned())]);
    assert_eq!(error.attempts[0].address.map(|address| address.socket()), Some(address));
    world.assert_recorded(&[(ConnectResult::Refused, 1)], 0);
    let connection = world.guard.connection();
    assert!(!connection.reached_target());
    assert_eq!(connection.snapshot().target.as_deref(), Some(&*address.to_string()));
}

#[tokio::test]
async fn the_second_target_is_used_when_the_first_fails_and_the_failure_is_recorded() {
    let (_port, dead) = refusing();
    let (_listener, alive) = listening().await;
    let world = World::new(vec![at(dead), at(alive)]).await;
    let connected = world.connect().await.unwrap();
    assert_eq!(connected.address.socket(), alive);
    world.assert_recorded(&[(ConnectResult::Refused, 1), (ConnectResult::Connected, 1)], 1);
    assert_eq!(world.guard.connection().snapshot().target.as_deref(), Some(&*alive.to_string()));
}

#[tokio::test]
async fn a_backup_is_tried_only_after_every_other_target() {
    let (_port, dead) = refusing();
    let (_backup, backup_address) = listening().await;
    let (primary, primary_address) = listening().await;
    let backup = || Member { backup: true, ..at(backup_address) };
    let world = World::new(vec![backup(), at(primary_address)]).await;
    for _ in 0..3 {
        assert_eq!(world.connect().await.unwrap().address.socket(), primary_address);
    }
    drop(primary);
    let world = World::new(vec![backup(), at(dead), at(primary_address)]).await;
    assert_eq!(world.connect().await.unwrap().address.socket(), backup_address);
    world.assert_recorded(&[(ConnectResult::Refused, 2), (ConnectResult::Connected, 1)], 0);
}

#[tokio::test]
async fn when_all_fail_each_attempt_is_recorded_once() {
    let ports: Vec<_> = (0..FAILURES_MAX + 1).map(|_| refusing()).collect();
    let world = World::new(ports.iter().map(|(_, address)| at(*address)).collect()).await;
    let error = world.connect().await.unwrap_err();
    assert_eq!((error.attempts.len(), error.forgotten), (FAILURES_MAX, 1));
    world.assert_recorded(&[(ConnectResult::Refused, FAILURES_MAX as u64 + 1)], 0);
}

#[tokio::test]
async fn a_route_without_targets_has_its_own_cause() {
    let world = World::new(Vec::new()).await;
    let error = world.connect().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::new(Phase::Connect, Party::Proxy, Cause::NoTarget));
    world.assert_recorded(&[], 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_takes_the_time_of_one_attempt_and_all_of_them_the_total() {
    let silent = [Silent::anywhere(), Silent::anywhere(), Silent::anywhere()];
    let mut world = World::new(silent.iter().map(|silent| at(silent.address)).collect()).await;
    world.timeouts.connect = Duration::from_secs(5);
    world.timeouts.connect_total = Duration::from_secs(8);
    let start = Instant::now();
    let error = world.connect().await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 8);
    assert_eq!(error.outcome(), Outcome::new(Phase::Connect, Party::Target, Cause::ConnectTimeout));
    let seconds: Vec<_> =
        error.attempts.iter().map(|attempt| (attempt.elapsed.as_secs(), format!("{:?}", attempt.failure))).collect();
    assert_eq!(seconds, [(5, "Timeout".to_owned()), (3, "TotalTimeout".to_owned())]);
    world.assert_recorded(&[(ConnectResult::Timeout, 2)], 0);
    assert_eq!(silent.iter().map(Silent::waiting).sum::<usize>(), 0);
}

#[tokio::test]
async fn behind_a_silent_target_the_next_one_is_used() {
    let silent = Silent::anywhere();
    let (_listener, alive) = listening().await;
    let mut world = World::new(vec![at(silent.address), at(alive)]).await;
    world.timeouts.connect = Duration::from_millis(20);
    assert_eq!(world.connect().await.unwrap().address.socket(), alive);
    world.assert_recorded(&[(ConnectResult::Timeout, 1), (ConnectResult::Connected, 1)], 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_past_the_end_of_the_clock_is_no_limit() {
    let (_listener, address) = listening().await;
    let mut world = World::new(vec![at(address)]).await;
    world.timeouts = Timeouts { connect: Duration::MAX, connect_total: Duration::MAX, tls_handshake: Duration::MAX };
    assert!(world.connect().await.is_ok());
}

/// Where the log of one test goes.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_failed_attempt_is_one_line_with_all_that_is_known_of_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("smartproxy::connect=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let (_port, dead) = refusing();
    let (_listener, alive) = listening().await;
    let world = World::new(vec![at(dead), at(alive)]).await;
    let _default = tracing::subscriber::set_default(subscriber);
    world.connect().await.unwrap();
    let text = lines.text();
    // The filter takes the longer name of `smartproxy::connection` too.
    assert_eq!(text.lines().filter(|line| line.contains(" smartproxy::connect: ")).count(), 1, "{text}");
    let fields = format!(
        "DEBUG smartproxy::connect: connection=1 target={dead} address={dead} cause=\"refused\" \
         error=the target refused the connection; does it run, and on this port? elapsed_ms="
    );
    assert!(text.contains(&fields), "{text}");
}

#[tokio::test]
async fn waiting_for_a_connection_takes_little_memory() {
    let world = World::new(Vec::new()).await;
    let plan = world.plan();
    let size = std::mem::size_of_val(&connect(&plan));
    assert!(size <= 1344, "{size}");
}

/// Runs once more in a process of its own, whose limit on open files is low, to take them all.
#[test]
fn without_descriptors_it_is_the_proxys_fault_and_no_other_target_is_tried() {
    const CHILD: &str = "SMARTPROXY_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let name = "upstream::connect::tests::failing::\
                    without_descriptors_it_is_the_proxys_fault_and_no_other_target_is_tried";
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture"])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_listener, address) = listening().await;
        let world = World::new(vec![at(address), at(address)]).await;
        let mut files = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        let error = world.connect().await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::new(Phase::Connect, Party::Proxy, Cause::OutOfDescriptors));
        world.assert_recorded(&[(ConnectResult::Failed, 1)], 0);
        drop(files);
        assert!(world.connect().await.is_ok());
    });
}
