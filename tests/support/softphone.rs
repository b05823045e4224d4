//! Other people's phones in real browsers (`tests/browser/phone.js`): JsSIP and SIP.js, in Chromium and Firefox.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, Kind};

/// A SIP stack for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Keys as telephone-events (RFC 4733) in Chromium, by INFO in Firefox, which knows none beside Opus.
    JsSip,
    /// Keys by INFO.
    SipJs,
}

/// A phone whose microphone hears a tone.
pub struct Softphone {
    browser: Browser,
    /// What it is started with.
    setup: Value,
}

impl Softphone {
    /// Opens a page of the server at `http` in a browser and makes it a phone. `token` is what the server gave for it.
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
        // The page asked who is there: 401 is its answer, and a complaint of the browser's.
        self.browser.complaints().await;
        self.browser.phone("start", self.setup.clone()).await;
    }

    /// Loads its page anew in mid-call, registers again, and takes the call back by an INVITE with Replaces.
    pub async fn reload(&mut self, within: Duration) {
        let dialog = self.browser.phone("dialog", Value::Null).await;
        self.browser.reload().await;
        self.begin().await;
        self.becomes("registered", within).await;
        let target = &self.setup["token"]["sip_uri"];
        self.browser.phone("takeBack", json!({ "target": target, "dialog": dialog })).await;
        self.becomes("active", within).await;
    }

    /// Waits until it is `registered`, `incoming`, `calling`, `active` or `held`.
    pub async fn becomes(&mut self, wanted: &str, within: Duration) {
        let within_ms = within.as_millis() as u64;
        let state = self.browser.phone("becomes", json!({ "wanted": wanted, "within": within_ms })).await;
        assert_eq!(state, wanted, "the phone's state after {within:?}");
    }

    /// `call` with a SIP URI, `answer`, `hold`, `unhold`, `press` with a key, `hangUp`, `stop`.
    pub async fn does(&mut self, what: &str, argument: Value) {
        self.browser.phone(what, argument).await;
    }

    /// What it plays, `seconds` of it, at 48 kHz.
    pub async fn hear(&mut self, seconds: f32) -> Vec<i16> {
        self.browser.hear(seconds).await
    }

    /// Leaves, and closes the browser.
    pub async fn close(mut self) {
        self.does("stop", Value::Null).await;
        self.browser.close().await;
    }
}
