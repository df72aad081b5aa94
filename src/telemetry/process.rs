use std::fs;

use prometheus::{Counter, Gauge, IntGauge};

use super::catalogue::Catalogue;

/// The kernel's ticks in a second: `USER_HZ` is 100 on every Linux since 2.6 (time(7), `sysconf(_SC_CLK_TCK)`).
const TICKS: f64 = 100.0;

/// What the kernel knows of this process, under the names that every client library of Prometheus gives it.
#[derive(Debug)]
pub(super) struct ProcessMeter {
    cpu: Counter,
    resident: IntGauge,
    virtual_memory: IntGauge,
    open: IntGauge,
    open_max: IntGauge,
    threads: IntGauge,
    started: Gauge,
}

impl ProcessMeter {
    pub(super) fn new(make: &mut Catalogue) -> Self {
        Self {
            cpu: make.seconds("process_cpu_seconds_total", "CPU time of the process, user and system."),
            resident: make.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM."),
            virtual_memory: make.gauge("process_virtual_memory_bytes", "Address space of the process."),
            open: make.gauge("process_open_fds", "Open file descriptors."),
            open_max: make.gauge("process_max_fds", "The limit of open file descriptors."),
            threads: make.gauge("process_threads", "Threads of the process."),
            started: make.moment("process_start_time_seconds", "When the process started, in seconds since 1970."),
        }
    }

    /// Asks the kernel. What it does not say keeps its last value.
    pub(super) fn update(&self) {
        if let Some(stat) = read("stat").as_deref().and_then(Stat::parse) {
            self.cpu.inc_by((stat.cpu - self.cpu.get()).max(0.0));
            self.threads.set(stat.threads);
            self.virtual_memory.set(stat.virtual_memory);
            if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
                self.started.set(boot + stat.started);
            }
        }
        if let Some(kib) = read("status").as_deref().and_then(|status| number_after(status, "VmRSS:")) {
            self.resident.set(kib.saturating_mul(1024));
        }
        if let Some(limit) = read("limits").as_deref().and_then(|limits| number_after(limits, "Max open files")) {
            self.open_max.set(limit);
        }
        if let Some(open) = open_descriptors() {
            self.open.set(open);
        }
    }
}

/// What of `/proc/self/stat` is of use (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu: f64,
    threads: i64,
    virtual_memory: i64,
    /// Seconds after the boot.
    started: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first after the name is the third of the manual.
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<f64>().ok();
        let whole = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<i64>().ok();
        let cpu = (field(14)? + field(15)?) / TICKS;
        Some(Self { cpu, threads: whole(20)?, virtual_memory: whole(23)?, started: field(22)? / TICKS })
    }
}

fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn number_after(text: &str, name: &str) -> Option<i64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<i64> {
    // Since Linux 6.2 the folder's size is their number; before, it is 0, and they are counted. The folder itself is one
    // while it is read.
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    let count = if size > 0 {
        size
    } else {
        u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.saturating_sub(1)
    };
    i64::try_from(count).ok()
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual_whatever_the_process_is_called() {
        let text =
            "7 (a b) c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 12345 4096000 300 18446744073709551615";
        let stat = Stat { cpu: 3.0, threads: 5, virtual_memory: 4_096_000, started: 123.45 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (x) S 1"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
        assert_eq!(number_after("VmPeak:\t9 kB\nVmRSS:\t 42 kB\n", "VmRSS:"), Some(42));
        assert_eq!(
            number_after("Max open files            1024                 4096    files\n", "Max open files"),
            Some(1024)
        );
    }

    #[test]
    fn this_process_has_its_own_numbers() {
        let mut make = Catalogue::default();
        let meter = ProcessMeter::new(&mut make);
        meter.update();
        assert!(meter.resident.get() > 1024 * 1024);
        assert!(meter.virtual_memory.get() >= meter.resident.get());
        assert!(meter.open.get() >= 3 && meter.open.get() <= meter.open_max.get());
        assert!(meter.threads.get() >= 1);
        let now = super::super::unix_seconds(std::time::SystemTime::now());
        assert!(meter.started.get() > now - 3600.0 && meter.started.get() < now + 1.0, "{}", meter.started.get());
    }
}
