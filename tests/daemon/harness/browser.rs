//! A real browser: headless Chromium, driven over WebDriver (W3C), which is HTTP and JSON.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::wait::until;

/// How long one command may take: the browser starts within the first.
const COMMAND_PATIENCE: Duration = Duration::from_secs(180);

/// One browser at a time: each is as heavy as all the rest of the tests.
static TURN: Mutex<()> = Mutex::new(());

/// A browser with one window. Its profile is new, and gone at the end.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// A browser, if this machine has one; CI must.
    pub(crate) fn found() -> Option<Self> {
        let found = ["chromedriver", "chromium"]
            .iter()
            .all(|program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()));
        assert!(found || std::env::var_os("CI").is_none(), "CI needs chromium and chromium-driver");
        if !found {
            eprintln!("skipped: this machine has no chromium with its driver");
        }
        found.then(Self::start)
    }

    fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.rsplit_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        // What else it says would fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("chromedriver says its port")));
        let profile = TempDir::new().unwrap();
        let mut browser = Self { driver, address, session: String::new(), _profile: profile, _turn: turn };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
        ];
        let mut arguments: Vec<String> = arguments.map(ToOwned::to_owned).into();
        arguments.push(format!("--user-data-dir={}", browser._profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = browser.command("POST", "/session", &wanted);
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    /// Goes to an address.
    pub(crate) fn go(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Runs a function body in the page, and gives what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs it until what it returns is right.
    pub(crate) fn run_until(&self, what: &str, script: &str, right: impl Fn(&Value) -> bool) -> Value {
        let shown = until(|| {
            let value = self.run(script);
            if right(&value) { Ok(value) } else { Err(format!("{what} has not come to hold: {value:#}")) }
        });
        shown.unwrap_or_else(|error| panic!("{error}\n{:#?}", self.console()))
    }

    /// Clicks on what the selector names, as a person would: where it is, if nothing covers it.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into what the selector names.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Presses a key, wherever the focus is.
    pub(crate) fn press(&self, key: char) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// The window's inner size, in CSS pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the reader prefers, a light or a dark page.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// The window as a picture (PNG).
    pub(crate) fn picture(&self) -> Vec<u8> {
        let text = self.command("GET", &format!("{}/screenshot", self.session), &Value::Null);
        from_base64(text.as_str().unwrap())
    }

    /// What the console has said since the last time, warnings and errors.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let bad =
            entries.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        bad.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Every address that was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "performance"}));
        let messages = entries.as_array().unwrap().iter().filter_map(|entry| entry["message"].as_str());
        let messages = messages.map(|message| serde_json::from_str::<Value>(message).unwrap()["message"].clone());
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    fn devtools(&self, name: &str, parameters: &Value) {
        self.post("/goog/cdp/execute", &json!({"cmd": name, "params": parameters}));
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector}));
        // The name that WebDriver gives to a reference to an element.
        found["element-6066-11e4-a52e-4f735466cecf"].as_str().unwrap().to_owned()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.command("POST", &format!("{}{path}", self.session), body)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.try_command(method, path, body).unwrap();
        assert!(status.contains(" 200 "), "{method} {path} {body}: {value:#}");
        value["value"].clone()
    }

    fn try_command(&self, method: &str, path: &str, body: &Value) -> io::Result<(String, Value)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(COMMAND_PATIENCE))?;
        let fields =
            format!("host: {}\r\ncontent-type: application/json\r\ncontent-length: {}", self.address, body.len());
        write!(stream, "{method} {path} HTTP/1.1\r\n{fields}\r\nconnection: close\r\n\r\n{body}")?;
        // The driver keeps the connection open all the same.
        let mut answer = BufReader::new(stream);
        let (mut status, mut length) = (String::new(), 0);
        answer.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut text = vec![0; length];
        answer.read_exact(&mut text)?;
        Ok((status, serde_json::from_slice(&text)?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Also after a test that has failed: the browser would outlive its driver.
        let _ = self.try_command("DELETE", &self.session, &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// RFC 4648 section 4, the other way round.
fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    let words = digits.chunks(4).map(|four| {
        let word = four.iter().fold(0_u32, |word, digit| (word << 6) | u32::from(*digit)) << (6 * (4 - four.len()));
        word.to_be_bytes()[1..four.len()].to_vec()
    });
    words.flatten().collect()
}

#[test]
fn base64_is_read_whatever_its_padding() {
    for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
        assert_eq!(from_base64(text), bytes.as_bytes());
    }
}
