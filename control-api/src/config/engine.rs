//! The configuration in the form of the engine's settings.
//!
//! Not here: defaults and checks, which `mod.rs` and `value.rs` have.

use std::path::Path;
use std::time::Duration;

use crate::engine::settings::{
    DialConfig, Dialled, Guard, HostRules, MediaConfig, Plan, RouteConfig, SipConfig, SpeechConfig as EngineSpeech,
    TrunkConfig as EngineTrunk, opus,
};
use crate::engine::{
    EngineConfig, NumberFormat, RecordConfig, SttProvider, TranscriptionServer, TrunkCredentials, TrunkSettings,
};

use super::{Config, SpeechConfig, SttAddress, TrunkConfig};

/// Time for which a leg rings before the call fails.
const RING_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the engine's configuration of the speech providers.
pub fn speech_config(speech: &SpeechConfig) -> EngineSpeech {
    let stt = match &speech.stt {
        SttAddress::Wyoming(provider) => SttProvider::Wyoming(provider.clone()),
        SttAddress::OpenAi(url) => SttProvider::Transcriptions(TranscriptionServer {
            url: url.clone(),
            model: speech.stt_model.clone(),
            key: speech.stt_key.as_ref().map(|key| key.reveal().to_owned()),
        }),
    };
    EngineSpeech { stt, translator: speech.translator.clone(), tts: speech.tts.clone() }
}

/// Converts the configuration into that of the engine.
pub fn engine_settings(config: &Config, record_dir: &Path) -> EngineConfig {
    EngineConfig {
        sip: SipConfig {
            listen: config.sip.listen.clone(),
            domain: config.sip_domain(),
            tls: None,
            tls_ca: config.sip.tls_ca.clone(),
            resolver: config.sip.resolver,
            advertise: config.sip.advertise.as_ref().map(ToString::to_string),
            trace: config.sip.trace,
            hold: config.sip.hold,
            dial: dial_config(config),
        },
        media: MediaConfig {
            addresses: config.media.address.clone(),
            advertise: config.media.advertise.clone(),
            ports: config.media.ports,
            workers: config.media.workers,
            cpus: config.media.cpus.clone(),
            profile: config.media.profile,
            realtime: config.media.realtime,
            opus: opus(config.media.opus_bitrate, config.media.opus_complexity),
            capture: config.debug.capture.clone(),
        },
        trunks: config
            .trunks
            .iter()
            .map(|trunk| EngineTrunk {
                name: trunk.name.clone(),
                hosts: trunk.hosts.clone(),
                nat: trunk.nat,
                codecs: trunk.codecs.clone(),
                srtp: trunk.srtp,
                hold: trunk.hold,
                dtmf: trunk.dtmf,
                sip: trunk_settings(trunk),
            })
            .collect(),
        routes: config
            .routes
            .iter()
            .map(|route| RouteConfig { pattern: route.pattern.clone(), to: route.to.clone() })
            .collect(),
        dial: dial_config(config),
        speech: speech_config(&config.speech),
        record_dir: record_dir.to_owned(),
        record: RecordConfig {
            part: Duration::from_secs(config.recording.part_s.into()),
            min_free: u64::from(config.recording.min_free_mb) << 20,
            warn_free: u64::from(config.recording.warn_free_mb) << 20,
        },
        ring_timeout: RING_TIMEOUT,
        media_timeout: (config.media.timeout_s > 0).then(|| Duration::from_secs(config.media.timeout_s.into())),
        max_call: (config.sip.max_call_s > 0).then(|| Duration::from_secs(config.sip.max_call_s.into())),
    }
}

fn dial_config(config: &Config) -> DialConfig {
    DialConfig {
        allow: config.dial.allow.clone(),
        satellite: config.dial.satellite,
        premium: config.dial.premium,
        countries: config.dial.countries.clone(),
        emergency_trunk: config.dial.emergency_trunk.clone(),
        // All rules were parsed when the configuration was checked.
        uris: HostRules(config.dial.uris.iter().filter_map(|rule| rule.parse().ok()).collect()),
        pickup: config.dial.pickup.clone(),
    }
}

/// Returns the plan by which numbers are dialled at a trunk.
fn plan(trunk: &TrunkConfig) -> Plan {
    let mut plan = match (&trunk.country, &trunk.numbers) {
        (Some(country), _) => Plan::of_country(country),
        (None, NumberFormat::National { country, prefix }) => {
            Plan { national: prefix.clone(), ..Plan::of_country(country) }
        }
        (None, _) => Plan::default(),
    };
    if let Some(national) = &trunk.national_prefix {
        plan.national.clone_from(national);
    }
    if !trunk.international_prefixes.is_empty() {
        plan.international.clone_from(&trunk.international_prefixes);
    }
    // International numbers are sent to such a trunk with `00`, so it is assumed to understand that prefix.
    if matches!(trunk.numbers, NumberFormat::National { .. }) && !plan.international.iter().any(|known| known == "00") {
        plan.international.push("00".into());
    }
    plan
}

/// Returns whether this is an emergency number, in any spelling.
pub fn is_emergency(config: &Config, number: &str) -> bool {
    Guard::new(dial_config(config)).is_emergency(number)
}

/// Returns the dialled number: as `+` and digits if the first trunk reads it in exactly one way, otherwise as dialled. `None`
/// means that it is not a number.
pub fn dialled_number(config: &Config, to: &str) -> Option<String> {
    match Guard::new(dial_config(config)).read(to).ok()? {
        Dialled::Emergency(digits) => Some(digits),
        Dialled::Number { number, .. } => {
            let readings = number.readings(&config.trunks.first().map(plan).unwrap_or_default());
            Some(match &readings[..] {
                [one] => format!("+{one}"),
                _ => number.as_str().to_owned(),
            })
        }
        Dialled::Uri { .. } => None,
    }
}

/// Registration time requested from trunks. It is short enough to keep the mapping of a NAT.
const REGISTER: Duration = Duration::from_secs(600);

fn trunk_settings(trunk: &TrunkConfig) -> TrunkSettings {
    let limit = |most: u32| (most > 0).then_some(most);
    let credentials = trunk.user.clone().zip(trunk.password.as_ref());
    TrunkSettings {
        credentials: credentials
            .map(|(user, password)| TrunkCredentials { user, password: password.reveal().to_owned() }),
        register: trunk.register.then_some(REGISTER),
        probe: limit(trunk.options_s).map(|seconds| Duration::from_secs(seconds.into())),
        numbers: trunk.numbers.clone(),
        plan: plan(trunk),
        from: trunk.from.clone(),
        from_host: trunk.from_host.clone(),
        assert_identity: trunk.assert_identity,
        pass_headers: trunk.pass_headers.clone(),
        channels: limit(trunk.channels),
        calls_per_second: limit(trunk.calls_per_second),
    }
}
