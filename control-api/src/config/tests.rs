//! Tests of the configuration: defaults, the example, the documentation, and errors that name their key.
//!
//! Every text is TOML as an operator writes it. The list of keys comes from the types themselves: the error about an unknown key
//! names the known ones.
//!
//! Not here: values of the media engine's own settings, which its rooms check.

use super::*;

/// Returns the error text for a TOML configuration.
fn refused(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

#[test]
fn an_empty_configuration_takes_the_defaults() {
    let config = Config::from_toml("").unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.metrics.listen.unwrap().to_string(), "127.0.0.1:9090");
    assert_eq!(config.media.ports, (20_000, 39_999));
    assert_eq!(config.sip_domain(), "127.0.0.1");
}

#[test]
fn the_example_means_the_defaults() {
    let text = include_str!("../../../tandem.example.toml");
    let mut config = Config::from_toml(text).unwrap();
    let defaults = Config::default();
    config.media.workers = defaults.media.workers;
    config.trunks.clear();
    config.routes.clear();
    assert_eq!(config, defaults);
}

/// Returns what the types know in a section, as the error about an unknown key lists it. `before` makes the section complete.
fn known_keys(before: &str) -> Vec<String> {
    let error = refused(&format!("{before}\nzzzzzzzzzzzzzzzz = 1\n"));
    let (_, known) = error.split_once("known here: ").unwrap_or_else(|| panic!("no list of keys: {error}"));
    known.split(", ").map(|key| key.trim_matches(['`', ' ', ')']).to_owned()).collect()
}

#[test]
fn the_example_and_the_documentation_name_every_key_of_the_types() {
    let example = include_str!("../../../tandem.example.toml");
    let documented = include_str!("../../../docs/configuration.md");
    let sections = known_keys("");
    assert!(sections.len() > 12, "{sections:?}");
    let mut missing = Vec::new();
    for section in sections {
        let (heading, before) = match section.as_str() {
            "trunks" => ("[[trunks]]", "[[trunks]]\nname = \"a\"\nhosts = [\"127.0.0.1\"]"),
            "routes" => ("[[routes]]", "[[routes]]\nmatch = \"a\"\nto = \"app:echo\""),
            _ => ("", ""),
        };
        let plain = format!("[{section}]");
        let (heading, before) = if heading.is_empty() { (plain.as_str(), plain.as_str()) } else { (heading, before) };
        let Some((_, text)) = documented.split_once(&format!("## `{heading}`\n")) else {
            missing.push(format!("docs/configuration.md has no section {heading}"));
            continue;
        };
        let text = text.split("\n## ").next().unwrap_or_default();
        for key in known_keys(before).into_iter().filter(|key| key != "organizations") {
            if !text.contains(&format!("| `{key}` |")) {
                missing.push(format!("docs/configuration.md lacks {heading} {key}"));
            }
            let is_key = |line: &str| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} ="));
            if !example.lines().any(is_key) {
                missing.push(format!("tandem.example.toml lacks {heading} {key}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    for (text, key, hint) in [
        ("[http]\nlistn = \"127.0.0.1:1\"", "http.listn", "did you mean `http.listen`?"),
        ("[htpp]\n", "htpp", "did you mean `http`?"),
        ("[media]\nworker = 2", "media.worker", "did you mean `media.workers`?"),
        ("[store]\nzzzzzzzzz = 1", "store.zzzzzzzzz", "known here: url, migrate_url, record"),
        ("[[trunks]]\nname = \"a\"\nhosts = [\"127.0.0.1\"]\nnatt = true", "trunks.0.natt", "`trunks.0.nat`?"),
        ("[http.tls]\ncert = \"a\"\nkye = \"b\"", "http.tls.kye", "did you mean `http.tls.key`?"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("{key}: unknown key")), "{error}");
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn bad_values_name_their_key_and_what_was_expected() {
    for (text, key, expected) in [
        ("[http]\nlisten = \"localhost\"", "http.listen", "socket address"),
        ("[http]\nlisten = 8080", "http.listen", "expected"),
        ("[http]\ntls = \"on\"", "http.tls", "self-signed"),
        ("[http]\ntls = { cert = \"a\" }", "http.tls.key", "missing"),
        ("[http]\npublic_url = \"voice.example.com\"", "http.public_url", "https://voice.example.com"),
        ("[http]\npublic_url = \"https://a/b\"", "http.public_url", "without path"),
        ("[http]\ntrusted_proxies = [\"10.0.0.0/33\"]", "http.trusted_proxies", "10.0.0.0/8"),
        ("[metrics]\nlisten = \"9090\"", "metrics.listen", "127.0.0.1:9090"),
        ("[sip]\nlisten = [\"127.0.0.1:5060\"]", "sip.listen[0]", "udp:ADDRESS:PORT"),
        ("[sip]\nlisten = [\"ws:127.0.0.1:5061\"]", "sip.listen[0]", "tls:ADDRESS:PORT"),
        ("[sip]\ntls = \"off\"", "sip.tls", "self-signed"),
        ("[sip]\ntls = { cert = \"a\" }", "sip.tls.key", "missing"),
        ("[sip]\nresolver = \"192.0.2.53\"", "sip.resolver", "system or ADDRESS:PORT"),
        ("[sip]\nadvertise = \"sip:host\"", "sip.advertise", "HOST[:PORT]"),
        ("[sip]\ntrace = \"some\"", "sip.trace", "off, headers or full"),
        ("[turn]\nuris = [\"stun:a\"]", "turn.uris", "turns:HOST[:PORT]"),
        ("[turn]\nuris = [\"turn:a?transport=sctp\"]", "turn.uris", "transport=tcp"),
        ("[turn]\nuris = [\"turn:u@a\"]", "turn.uris", "turn:HOST[:PORT]"),
        ("[turn]\nuris = [\"turn:\"]", "turn.uris", "turn:HOST[:PORT]"),
        ("[turn]\nuris = [\"turn:a\"]", "turn.secret", "static-auth-secret"),
        ("[turn]\nuris = [\"turn:a\"]\nsecret = \"\"", "turn.secret", "static-auth-secret"),
        ("[turn]\nsecret = \"x\"", "turn.uris", "URI of the TURN server"),
        ("[turn]\nuris = [\"turn:a\"]\nsecret = \"x\"\nttl_s = 5", "turn.ttl_s", "60 to 3600"),
        ("[turn]\nuris = [\"turn:a\"]\nsecret = 123456", "turn.secret", "wrong type"),
        ("[media]\nadvertise = \"2001:db8::1\"", "media.advertise", "same family"),
        ("[media]\nadvertise = \"host\"", "media.advertise", "IP address"),
        ("[log]\nformat = \"xml\"", "log.format", "json"),
        ("[log]\nlevel = \"loud\"", "log.level", "debug"),
        ("[log]\nrooms = { sip = \"debug\" }", "log.rooms.sip", "expected one of admin, "),
        (
            "[media]\naddress = \"192.0.2.1\"\nadvertise = [\"203.0.113.9\", \"203.0.113.10\"]",
            "media.advertise",
            "one address of each family",
        ),
        ("[media]\naddress = \"0.0.0.0\"", "media.address", "this machine's own"),
        ("[media]\naddress = []", "media.address", "at least one"),
        ("[media]\nports = \"39999-20000\"", "media.ports", "20000-39999"),
        ("[store]\nseal_key = \"00\"\nseal_key_file = \"k\"", "store.seal_key", "either `seal_key` or `seal_key_file`"),
        ("[store]\nspool_mb = 0", "store.spool_mb", "1 to 65536"),
        ("[recording]\npart_s = 0", "recording.part_s", "1 to 57600"),
        ("[recording]\nmin_free_mb = 3000", "recording.warn_free_mb", "at least `min_free_mb`"),
        ("[sip]\nmax_call_s = -1", "sip.max_call_s", "expected"),
        ("[media]\nworkers = 0", "media.workers", "1 to 1024"),
        ("[media]\nworkers = -1", "media.workers", "expected"),
        ("[media]\ntimeout_s = -1", "media.timeout_s", "expected"),
        ("[[trunks]]\nname = \"a\"", "trunks.0.hosts", "missing"),
        ("[[trunks]]\nname = \"a\"\nhosts = []", "trunks[0].hosts", "at least one"),
        ("[[routes]]\nmatch = \"*\"\nto = \"nowhere\"", "routes.0.to", "agent:NAME"),
        ("[[routes]]\nmatch = \"*\"\nto = \"trunk:x\"", "routes[0].to", "there is no trunk `x`"),
        ("[auth]\nsignup = \"closed\"", "auth.signup", "invitation"),
        ("[auth]\ninvitation_hours = 0", "auth.invitation_hours", "1 to 8760"),
        ("[mail]\nurl = \"smtp://h\"", "mail.from", "together with `url`"),
        ("[mail]\nfrom = \"a@example.com\"", "mail.url", "together with `from`"),
        ("[mail]\nurl = \"http://h\"\nfrom = \"a@example.com\"", "mail.url", "smtps://"),
        ("[mail]\nurl = \"smtp://\"\nfrom = \"a@example.com\"", "mail.url", "smtps://"),
        ("[mail]\nurl = \"smtp://h\"\nfrom = \"nobody\"", "mail.from", "Tandem <tandem@example.com>"),
        ("[limits]\ncalls = \"20\"", "limits.calls", "600/1min"),
        ("[limits]\ncall = \"20/1s\"", "limits.call", "did you mean `limits.calls`?"),
        ("[[limits.organizations]]\ncalls = \"20/1s\"", "limits.organizations.0.id", "missing"),
        (
            "[[limits.organizations]]\nid = \"0198a7a0-0000-7000-8000-000000000000\"\nentrance = \"1/1s\"",
            "limits.organizations.0.entrance",
            "unknown",
        ),
        ("[[limits.organizations]]\nid = \"a\"", "limits.organizations.0.id", "UUID"),
        ("[[limits.organizations]]\nname = \"a\"", "limits.organizations.0.name", "unknown"),
        ("[speech]\nstt = \"http://x\"", "speech.stt", "wyoming://HOST:PORT or openai:URL"),
        ("[speech]\ntts = \"openai:http://x/v1\"", "speech.tts", "wyoming://HOST:PORT"),
        ("[speech]\nstt = \"openai:http://user@x/v1\"", "speech.stt", "without user"),
        ("[speech]\nstt = \"openai:ftp://x/v1\"", "speech.stt", "expected openai:http://HOST"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(key), "{text}: {error}");
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn broken_toml_names_the_line() {
    let error = refused("[http]\nlisten = \n");
    assert!(error.contains("is not TOML") && error.contains("line 2"), "{error}");
}

#[test]
fn a_missing_file_says_what_to_do() {
    let error = Config::load(Some(Path::new("/nonexistent/tandem.toml"))).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/tandem.toml") && error.contains("tandem.example.toml"), "{error}");
}

#[test]
fn every_kind_of_value_is_read() {
    let config = Config::from_toml(
        r#"
        [http]
        listen = "[::1]:443"
        tls = { cert = "c.pem", key = "k.pem" }
        public_url = "https://Voice.example.com:8443/"
        trusted_proxies = ["127.0.0.1", "2001:db8::/32"]
        [metrics]
        listen = "off"
        [sip]
        listen = "udp:127.0.0.1:5060, tcp:[::1]:5060, tls:[::1]:5061"
        tls = "self-signed"
        tls_ca = "ca.pem"
        resolver = "192.0.2.53:53"
        advertise = "voice.example.com:5070"
        [media]
        address = ["192.0.2.1", "2001:db8::1"]
        advertise = ["203.0.113.9"]
        cpus = [2, 3]
        [speech]
        stt = "wyoming://127.0.0.1:10300"
        [[trunks]]
        name = "carrier"
        hosts = ["192.0.2.10", "192.0.2.11:5070"]
        nat = true
        [[routes]]
        match = "+1555*"
        to = "trunk:carrier"
        "#,
    )
    .unwrap();
    assert_eq!(config.http.tls, Tls::Files { cert: "c.pem".into(), key: "k.pem".into() });
    assert_eq!(config.http.public_url.as_ref().unwrap().to_string(), "https://voice.example.com:8443");
    assert_eq!(config.sip_domain(), "voice.example.com");
    assert_eq!(config.metrics.listen, None);
    assert_eq!(config.sip.listen, ["udp:127.0.0.1:5060", "tcp:[::1]:5060", "tls:[::1]:5061"]);
    assert!(config.sip.has_tls());
    assert_eq!((&config.sip.tls, config.sip.tls_ca.as_deref()), (&Some(Tls::SelfSigned), Some(Path::new("ca.pem"))));
    assert_eq!(config.sip.resolver, NameServer::At("192.0.2.53:53".parse().unwrap()));
    assert_eq!(config.sip.advertise.as_ref().map(ToString::to_string).as_deref(), Some("voice.example.com:5070"));
    assert_eq!(config.media.advertise, ["203.0.113.9".parse::<IpAddr>().unwrap()]);
    assert!(config.http.trusted_proxies[1].contains("2001:db8:1::1".parse().unwrap()));
    assert!(!config.http.trusted_proxies[0].contains("127.0.0.2".parse().unwrap()));
    assert_eq!(config.speech.stt, SttAddress::Wyoming(SpeechProvider::Wyoming("127.0.0.1:10300".into())));
    assert_eq!(config.routes[0].to, RouteTarget::Trunk("carrier".into()));
    let speech = "[speech]\nstt = \"openai:https://api.example.com/v1/\"\nstt_key = \"k\"";
    let config = Config::from_toml(speech).unwrap();
    assert_eq!(config.speech.stt, SttAddress::OpenAi("https://api.example.com/v1".into()));
    assert_eq!(config.speech.stt_model, "whisper-1");
    assert!(!format!("{config:?}").contains("\"k\""), "the key is secret");
}

/// The environment belongs to the process. The jail gives this test an environment of its own.
#[test]
#[allow(clippy::result_large_err, reason = "the closure's type is the jail's")]
fn every_key_is_also_an_environment_variable() {
    figment::Jail::expect_with(|jail| {
        jail.create_file("t.toml", "[http]\nlisten = \"127.0.0.1:1\"\n[media]\nworkers = 1")?;
        jail.set_env("TANDEM_HTTP__LISTEN", "127.0.0.1:2");
        jail.set_env("TANDEM_HTTP__PUBLIC_URL", "https://x.example");
        jail.set_env("TANDEM_SIP__LISTEN", "udp:127.0.0.1:1,udp:127.0.0.1:2");
        jail.set_env("TANDEM_MEDIA__PORTS", "30000-30099");
        jail.set_env("TANDEM_MEDIA__CPUS", "1,2");
        jail.set_env("TANDEM_TRUNKS", r#"[{name="t", hosts=["127.0.0.1"]}]"#);
        jail.set_env("TANDEM_SHARED", "not a key of Tandem");
        let config = Config::load(Some(Path::new("t.toml"))).map_err(|error| error.to_string())?;
        assert_eq!(config.http.listen.port(), 2);
        assert_eq!(config.http.public_url.as_ref().map(ToString::to_string).as_deref(), Some("https://x.example"));
        assert_eq!(config.sip.listen.len(), 2);
        assert_eq!((config.media.ports, config.media.workers), ((30_000, 30_099), 1));
        assert_eq!(config.media.cpus, [1, 2]);
        assert_eq!(config.trunks[0].name, "t");
        jail.set_env("TANDEM_HTTP__LISTN", "x");
        let error = Config::load(None).unwrap_err().to_string();
        assert!(error.contains("did you mean `http.listen`?") && error.contains("TANDEM_HTTP__LISTN"), "{error}");
        Ok(())
    });
}

#[test]
fn a_media_timeout_of_zero_means_none() {
    let timeout = |text: &str| {
        let config = Config::from_toml(text).unwrap();
        crate::config::engine_settings(&config, Path::new("/tmp")).media_timeout.map(|span| span.as_secs())
    };
    assert_eq!(timeout(""), Some(60));
    assert_eq!(timeout("[media]\ntimeout_s = 5"), Some(5));
    assert_eq!(timeout("[media]\ntimeout_s = 0"), None);
}

#[test]
fn no_password_of_a_store_is_shown_by_configuration_or_errors() {
    const URL: &str = "postgres://tandem:hush@db.example/voice";
    let config = Config::from_toml(&format!("[store]\nurl = \"{URL}\"\nmigrate_url = \"{URL}\"\n")).unwrap();
    assert_eq!((config.store.url.reveal(), config.store.migrate_url.as_ref().unwrap().reveal()), (URL, URL));
    let place = config.store.place(Path::new("data"));
    for shown in [format!("{config:?}"), format!("{config:#?}"), format!("{:?}", config.store), format!("{place:?}")] {
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.matches("tandem:***@db.example/voice").count() == 2, "{shown}");
    }
    for text in [
        format!("store = \"{URL}\""),
        format!("[store]\nurl = [\"{URL}\"]"),
        format!("[store]\nurl = {{ a = \"{URL}\" }}"),
        format!("[store]\nmigrate_url = [\"{URL}\"]"),
        format!("mail = \"{URL}\""),
        // Not TOML: the parser would show the line.
        format!("[store]\nurl = \"{URL}"),
        format!("[store]\nurl = {URL}"),
        format!("[store]\nurl = \"{URL}\" \"{URL}\""),
        format!("[store]\nurl = \"{URL}\"\nurl = \"{URL}\""),
    ] {
        let problem = refused(&text);
        assert!(!problem.contains("hush"), "{text}: {problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
    let line = refused("[http]\nlisten = \"127.0.0.1:1");
    assert!(line.contains("line 2"), "{line}");
}
