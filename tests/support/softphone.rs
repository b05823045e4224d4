//! Third-party phones in real browsers (`tests/browser/phone.js`): JsSIP and SIP.js, in Chromium and Firefox.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, Kind};

/// A SIP library for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// JsSIP. Sends keys as telephone-events (RFC 4733) in Chromium and by INFO in Firefox, which supports none with Opus.
    JsSip,
    /// SIP.js, which sends keys by INFO.
    SipJs,
}

/// A phone whose microphone is a tone.
pub struct Softphone {
    browser: Browser,
    /// Argument of the phone's start function.
    setup: Value,
}

impl Softphone {
    /// Opens a page of the server at `http` in a browser and turns it into a phone. `token` is the server's answer with SIP
    /// credentials.
    pub async fn start(kind: Kind, library: Library, http: &str, token: Value, hertz: f32, dbfs: f32) -> Softphone {
        let mut browser = Browser::launch_kind(kind, None, hertz, dbfs).await;
        browser.open(&format!("{http}/login")).await;
        let keys = if kind == Kind::Firefox { "INFO" } else { "RFC2833" };
        let library = match library {
            Library::JsSip => "jssip",
            Library::SipJs => "sipjs",
        };
        let setup = json!({ "library": library, "token": token, "keys": keys });
        let mut phone = Softphone { browser, setup };
        phone.begin().await;
        phone
    }

    async fn begin(&mut self) {
        self.browser.put_phone().await;
        // The page asks for the session; the answer 401 makes the browser log an error.
        self.browser.complaints().await;
        self.browser.phone("start", self.setup.clone()).await;
    }

    /// Reloads its page during a call, registers again, and takes the call over by an INVITE with Replaces.
    pub async fn reload(&mut self, within: Duration) {
        let dialog = self.browser.phone("dialog", Value::Null).await;
        self.browser.reload().await;
        self.begin().await;
        self.becomes("registered", within).await;
        let target = &self.setup["token"]["sip_uri"];
        self.browser.phone("takeBack", json!({ "target": target, "dialog": dialog })).await;
        self.becomes("active", within).await;
    }

    /// Waits until its state is `wanted`: `registered`, `incoming`, `calling`, `active` or `held`.
    pub async fn becomes(&mut self, wanted: &str, within: Duration) {
        let within_ms = within.as_millis() as u64;
        let state = self.browser.phone("becomes", json!({ "wanted": wanted, "within": within_ms })).await;
        assert_eq!(state, wanted, "the phone's state after {within:?}");
    }

    /// Calls an action of the phone: `call` with a SIP URI, `answer`, `hold`, `unhold`, `press` with a key, `hangUp`, `stop`.
    pub async fn does(&mut self, what: &str, argument: Value) {
        self.browser.phone(what, argument).await;
    }

    /// Records `seconds` of its audio output, at 48 kHz.
    pub async fn hear(&mut self, seconds: f32) -> Vec<i16> {
        self.browser.hear(seconds).await
    }

    /// Unregisters and closes the browser.
    pub async fn close(mut self) {
        self.does("stop", Value::Null).await;
        self.browser.close().await;
    }
}
