//! Real browsers, driven by a small node program: JSON lines out, JSON lines back (`tests/browser/driver.mjs`).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use codecs::SampleRate;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::tandem::Account;
use crate::{repository, sound};

const INSTALL: &str = "run `make test`, which installs Chromium, Firefox and the driver's packages";
/// Deadline for the start of a browser on a busy machine.
const LAUNCH: Duration = Duration::from_secs(30);
/// Deadline for any other answer, in addition to the wait that the command itself contains.
const ANSWER: Duration = Duration::from_secs(20);
/// A new audio graph is silent for this long.
const EAR_OPENS: Duration = Duration::from_millis(500);
/// Deadline for a page to show an expected state.
const SHOW: Duration = Duration::from_secs(10);

/// A browser that the driver can launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its microphone plays a given file.
    Chromium,
    /// Its microphone is a tone of the given frequency at a level of Firefox's own. Tests do not click on Tandem's pages in it.
    Firefox,
}

/// A browser with one page, whose microphone is a tone.
pub struct Browser {
    process: Process,
    next: u64,
    line: usize,
    _folder: TempDir,
}

impl Browser {
    /// Launches Chromium with a microphone that is a tone of `hertz` at `dbfs`.
    pub async fn launch(hertz: f32, dbfs: f32) -> Browser {
        Browser::launch_in(None, hertz, dbfs).await
    }

    /// Like [`Browser::launch`], in a network namespace.
    pub async fn launch_in(namespace: Option<&str>, hertz: f32, dbfs: f32) -> Browser {
        Browser::launch_kind(Kind::Chromium, namespace, hertz, dbfs).await
    }

    /// Like [`Browser::launch_in`], with a browser of this kind.
    pub async fn launch_kind(kind: Kind, namespace: Option<&str>, hertz: f32, dbfs: f32) -> Browser {
        let folder = tempfile::tempdir().expect("a folder for the browser's microphone");
        let microphone = folder.path().join("microphone.wav");
        let rate = SampleRate::HZ_48000;
        // The file holds whole periods, so that it repeats without a click.
        sound::write_wav(&microphone, rate, &sound::tone(rate, hertz, dbfs, 1.0));
        let driver = repository().join("tests/browser");
        assert!(driver.join("node_modules").exists(), "the browser driver's packages are missing: {INSTALL}");
        let mut command = match namespace {
            None => Command::new("node"),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "node"]);
                command
            }
        };
        command.arg(driver.join("driver.mjs")).current_dir(&driver);
        let process = Process::start("browser driver", INSTALL, &mut command);
        let mut browser = Browser { process, next: 0, line: 0, _folder: folder };
        let kind = match kind {
            Kind::Chromium => "chromium",
            Kind::Firefox => "firefox",
        };
        let request = json!({ "do": "launch", "browser": kind, "microphone": microphone, "hertz": hertz as u32 });
        browser.ask(LAUNCH, request).await;
        browser
    }

    /// Opens a page, which must load successfully.
    pub async fn open(&mut self, url: &str) {
        let status = self.ask(ANSWER, json!({ "do": "open", "url": url })).await;
        assert_eq!(status, 200, "{url}");
    }

    /// Opens the agent's page, signs in, and waits until the page's phone is registered.
    pub async fn sign_in(&mut self, http: &str, account: &Account) {
        self.open(&format!("{http}/agent")).await;
        self.fill("#login-email", &account.email).await;
        self.fill("#login-password", &account.password).await;
        self.click("#login-submit").await;
        self.attribute("#registration-state", "data-state", "registered", SHOW).await;
        // The page asks for the session before the sign-in; the answer 401 makes the browser log an error.
        self.complaints().await;
    }

    /// Reloads the page, as a user does.
    pub async fn reload(&mut self) {
        let status = self.ask(ANSWER, json!({ "do": "reload" })).await;
        // 304 means that the browser has the page in its cache.
        assert!(status == 200 || status == 304, "{status}");
    }

    /// Types text into the field `on` (a CSS selector).
    pub async fn fill(&mut self, on: &str, text: &str) {
        self.ask(ANSWER, json!({ "do": "fill", "on": on, "text": text })).await;
    }

    /// Clicks on an element as soon as that is possible.
    pub async fn click(&mut self, on: &str) {
        self.ask(ANSWER, json!({ "do": "click", "on": on, "within": SHOW.as_millis() as u64 })).await;
    }

    /// Presses a key at the element with the focus, such as `a`, `Enter` or `Control+Enter`.
    pub async fn press(&mut self, key: &str) {
        self.ask(ANSWER, json!({ "do": "press", "key": key })).await;
    }

    /// Chooses an option of a select field.
    pub async fn choose(&mut self, on: &str, value: &str) {
        self.ask(ANSWER, json!({ "do": "choose", "on": on, "text": value })).await;
    }

    /// Switches a checkbox on or off.
    pub async fn check(&mut self, on: &str, value: bool) {
        self.ask(ANSWER, json!({ "do": "check", "on": on, "value": value })).await;
    }

    /// Returns the value of a field.
    pub async fn value(&mut self, on: &str) -> String {
        self.ask(ANSWER, json!({ "do": "value", "on": on })).await.as_str().unwrap_or_default().to_owned()
    }

    /// Returns whether a checkbox is on.
    pub async fn checked(&mut self, on: &str) -> bool {
        self.ask(ANSWER, json!({ "do": "checked", "on": on })).await == json!(true)
    }

    /// Chooses a file in a file input.
    pub async fn attach(&mut self, on: &str, file: &Path) {
        self.ask(ANSWER, json!({ "do": "attach", "on": on, "path": file })).await;
    }

    /// Waits until an element's text contains `words`.
    pub async fn says(&mut self, on: &str, words: &str) {
        let within_ms = SHOW.as_millis() as u64;
        self.ask(SHOW + ANSWER, json!({ "do": "says", "on": on, "text": words, "within": within_ms })).await;
    }

    /// Waits until the matching elements have these values of an attribute, in this order.
    pub async fn list<T: AsRef<str>>(&mut self, on: &str, name: &str, values: &[T]) {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        let within_ms = SHOW.as_millis() as u64;
        let request = json!({ "do": "list", "on": on, "name": name, "values": values, "within": within_ms });
        self.ask(SHOW + ANSWER, request).await;
    }

    /// Waits until the page's address, without scheme and host, is `path`.
    pub async fn arrive(&mut self, path: &str) {
        let within_ms = SHOW.as_millis() as u64;
        self.ask(SHOW + ANSWER, json!({ "do": "arrive", "path": path, "within": within_ms })).await;
    }

    /// Clicks on a link to a file and returns the file's name and text.
    pub async fn download(&mut self, on: &str) -> (String, String) {
        let within_ms = SHOW.as_millis() as u64;
        let file = self.ask(SHOW + ANSWER, json!({ "do": "download", "on": on, "within": within_ms })).await;
        let text = |key: &str| file[key].as_str().expect("text about a file").to_owned();
        (text("name"), text("text"))
    }

    /// Waits until an element's attribute has a value.
    pub async fn attribute(&mut self, on: &str, name: &str, value: &str, within: Duration) {
        let within_ms = within.as_millis() as u64;
        let request = json!({ "do": "attribute", "on": on, "name": name, "value": value, "within": within_ms });
        self.ask(within + ANSWER, request).await;
    }

    /// Waits until an element is visible.
    pub async fn visible(&mut self, on: &str, within: Duration) {
        let within_ms = within.as_millis() as u64;
        self.ask(within + ANSWER, json!({ "do": "visible", "on": on, "value": true, "within": within_ms })).await;
    }

    /// Waits until the phone's line is `idle`, `incoming`, `calling` or `active`.
    pub async fn line_becomes(&mut self, phase: &str, within: Duration) {
        self.attribute("#call-state", "data-state", phase, within).await;
    }

    /// Returns an element's text.
    pub async fn text(&mut self, on: &str) -> String {
        self.ask(ANSWER, json!({ "do": "text", "on": on })).await.as_str().unwrap_or_default().to_owned()
    }

    /// Records `seconds` of the page's audio output, at 48 kHz.
    pub async fn hear(&mut self, seconds: f32) -> Vec<i16> {
        let skipped = (EAR_OPENS.as_secs_f32() * 48_000.0) as usize;
        let count = skipped + (seconds * 48_000.0) as usize;
        let heard = self.call("hear", json!(count)).await;
        let samples = heard.as_array().expect("samples").iter();
        samples.skip(skipped).map(|sample| sample.as_i64().unwrap_or_default() as i16).collect()
    }

    /// Returns the milliseconds from applying the answer to the first decoded frame, of the newest connection.
    pub async fn first_frame_ms(&mut self, within: Duration) -> f64 {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let wait = async {
            loop {
                again.tick().await;
                if let Some(ms) = self.call("firstFrame", Value::Null).await.as_f64() {
                    return ms;
                }
            }
        };
        tokio::time::timeout(within, wait).await.unwrap_or_else(|_| panic!("no frame was decoded within {within:?}"))
    }

    /// Returns the local end of the newest connection's media path: `type` of the candidate, and in `relay` how its relay is
    /// reached.
    pub async fn path(&mut self) -> Value {
        self.call("path", Value::Null).await
    }

    /// Calls a function of `tests/browser/page.js`.
    pub async fn call(&mut self, name: &str, argument: Value) -> Value {
        self.ask(ANSWER, json!({ "do": "call", "name": name, "argument": argument })).await
    }

    /// Turns the open page into a phone (`tests/browser/phone.js`).
    pub async fn put_phone(&mut self) {
        self.ask(LAUNCH, json!({ "do": "put" })).await;
    }

    /// Calls a function of the page's phone (`tests/browser/phone.js`).
    pub async fn phone(&mut self, name: &str, argument: Value) -> Value {
        self.ask(ANSWER, json!({ "do": "phone", "name": name, "argument": argument })).await
    }

    /// Returns the errors and warnings that the page wrote to its console since the last call.
    pub async fn complaints(&mut self) -> Vec<String> {
        let complaints = self.ask(ANSWER, json!({ "do": "complaints" })).await;
        serde_json::from_value(complaints).expect("a list of texts")
    }

    /// Closes the browser and waits for its end.
    pub async fn close(mut self) {
        self.ask(ANSWER, json!({ "do": "close" })).await;
        self.process.stop().await;
    }

    async fn ask(&mut self, within: Duration, mut request: Value) -> Value {
        self.next += 1;
        let id = self.next;
        request["id"] = json!(id);
        self.process.write_line(&request.to_string());
        let answer = |line: &str| serde_json::from_str::<Value>(line).ok().filter(|answer| answer["id"] == id);
        let answer = self.process.line_from(&mut self.line, &format!("an answer to {request}"), within, answer).await;
        assert!(answer.get("error").is_none(), "browser: {answer:#}");
        answer["value"].clone()
    }
}
