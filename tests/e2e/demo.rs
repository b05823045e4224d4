//! `tandem demo`: a scripted customer is recognised, translated and heard, in the store, in the stream and on the line.

use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use codecs::tones::level_dbfs;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use tempfile::TempDir;
use tests::api::{Api, Events, SentEvent};
use tests::ears::FarEnd;
use tests::process::Process;
use tests::tandem::{Setup, Tandem, binary};
use tokio::time::Instant;

/// The script's sentences in the customer's language and in the agent's, and the agent's reply.
const SENTENCES: [(&str, &str); 5] = [
    ("Good morning.", "Buenos días."),
    ("I am calling about my order.", "Llamo por mi pedido."),
    ("¿En qué puedo ayudarle hoy?", "How can I help you today?"),
    ("My package has not arrived yet.", "Mi paquete no ha llegado todavía."),
    ("Thank you for your help.", "Gracias por su ayuda."),
];
/// Deadline for the start, the call, and the end of both.
const ONCE: Duration = Duration::from_secs(50);
const PATIENCE: Duration = Duration::from_secs(15);
/// Level in dBFS above which a frame counts as speech.
const VOICE_DBFS: f32 = -40.0;

/// A running demonstration on its own ports.
struct Demo {
    process: Process,
    folder: TempDir,
    http: String,
    sip: SocketAddr,
    /// API client with the session of the account that the demo printed.
    api: Api,
}

impl Demo {
    async fn start(arguments: &[&str]) -> Demo {
        assert!(binary("tandem-local-speech").exists());
        let folder = tempfile::tempdir().expect("a folder for the demo's data");
        let mut command = Command::new(binary("tandem"));
        command.arg("demo").args(arguments).arg("--data").arg(folder.path().join("data"));
        command.env("TANDEM_HTTP__LISTEN", "127.0.0.1:0").env("TANDEM_SIP__LISTEN", "udp:127.0.0.1:0");
        command.env("TANDEM_METRICS__LISTEN", "off").env("TANDEM_MEDIA__PORTS", tests::ports::MEDIA);
        command.env("TANDEM_LOG", "info").env("NO_COLOR", "1");
        let process = Process::start("tandem demo", "run `make test`, which builds it", &mut command);
        let between = |what: &'static str, start: &'static str, end: &'static str| {
            let find = move |line: &str| {
                let rest = &line[line.find(start)? + start.len()..];
                Some(rest[..rest.find(end).unwrap_or(rest.len())].to_owned())
            };
            process.line(what, PATIENCE, find)
        };
        let http = format!("http://{}", between("the address of its pages", "http://", "/agent").await);
        let email = between("the login", "log in as ", " with").await;
        let password = between("with which password", "@demo.example with ", " ").await;
        let sip = between("the address for phones", "sip:echo@", ",").await.parse().expect("an address");
        let api = Api::sign_in(&http, &email, &password).await;
        Demo { process, folder, http, sip, api }
    }

    /// Opens the stream of words of the running call, from the first one.
    async fn words(&self) -> Events {
        let call = self.api.call_becomes("bridged", PATIENCE).await;
        let call = call["id"].as_str().expect("an id");
        self.api.events(&format!("/api/calls/{call}/translations/stream"), None).await
    }
}

/// Returns whether an event reports that this sentence was translated and its speech was sent.
fn spoken(event: &SentEvent, translation: &str) -> bool {
    event.data["translation"] == translation && event.data["lag_ms"]["tts"].is_number()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_one_translated_call_and_keeps_it() {
    let begun = Instant::now();
    let mut demo = Demo::start(&["--once"]).await;
    let mut words = demo.words().await;
    for (said, meant) in SENTENCES {
        let told =
            words.until(meant, Duration::from_secs(30), |event| spoken(event, meant).then(|| event.data.clone()));
        let told = told.await;
        assert_eq!((&told["text"], &told["final"]), (&said.into(), &true.into()), "{told}");
        assert!(told["lag_ms"]["total"].as_u64().is_some_and(|ms| ms < 3_000), "{told}");
    }
    let status = demo.process.exited(ONCE.saturating_sub(begun.elapsed())).await;
    assert!(status.success(), "tandem demo --once: {status}");
    println!("tandem demo --once took {:.1} s", begun.elapsed().as_secs_f32());

    // The same words are read from the database, by a second run on the same folder.
    let tandem = Tandem::start_in(demo.folder, &Setup::default()).await;
    let api = tandem.api("Demo").await;
    let call = api.newest_call().await.expect("the call's row");
    assert_eq!(call["status"], "ended", "{call}");
    let list = api.get(&format!("/api/calls/{}/translations", call["id"].as_str().expect("an id"))).await;
    let list = list["translations"].as_array().expect("a list");
    for (said, meant) in SENTENCES {
        let kept = list.iter().any(|segment| segment["text"] == said && segment["translation"] == meant);
        assert!(kept, "{said:?} -> {meant:?} is not in the database: {list:#?}");
    }
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_who_answers_the_demo_hears_every_translation() {
    let mut demo = Demo::start(&[]).await;
    let token = demo.api.post("/api/webrtc/token").await;
    let text = |key: &str| token[key].as_str().expect("text in the token").to_owned();
    let mut agent = FarEnd::start(demo.sip, vec![Codec::Pcmu]).await;
    agent.party.register(&text("username"), &text("password")).expect("a registration sent");
    agent.until(PATIENCE, |noticed| *noticed == Noticed::Registered(true)).await;
    // The demo's customer calls again for a device that registers. A device that registers while the customer dials may ring for
    // both calls, so every ringing call is answered.
    let mut words = {
        let mut bridged = pin!(demo.words());
        loop {
            tokio::select! {
                words = &mut bridged => break words,
                noticed = agent.party.next() => {
                    if let Noticed::Rings { .. } = noticed.expect("the agent's SIP stack runs") {
                        agent.party.answer().expect("the call answered");
                    }
                }
            }
        }
    };
    let mut reader = agent.party.heard().expect("a tap");
    let customer = SENTENCES.iter().filter(|(said, _)| !said.starts_with('¿'));
    for (_, meant) in customer {
        words.until(meant, Duration::from_secs(30), |event| spoken(event, meant).then_some(())).await;
        // Frames from before its first sample do not count.
        while reader.pop().is_some() {}
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let (mut loud, until) = (0, Instant::now() + Duration::from_millis(1_500));
        while Instant::now() < until {
            look.tick().await;
            while let Some(item) = reader.pop() {
                loud += usize::from(level_dbfs(item.frame.samples()) > VOICE_DBFS);
            }
        }
        assert!(loud * 20 >= 300, "only {} ms of voice while {meant:?} was spoken", loud * 20);
    }
    agent.until(PATIENCE, |noticed| *noticed == Noticed::Over).await;
    demo.process
        .line("the next event", PATIENCE, |line| line.contains("Enter starts another call").then_some(()))
        .await;
    demo.process.signal(libc::SIGINT);
    assert!(demo.process.exited(PATIENCE).await.success(), "Ctrl-C did not end the demo in order");
    assert!(demo.http.starts_with("http://127.0.0.1:"));
    agent.party.stop().await;
}
