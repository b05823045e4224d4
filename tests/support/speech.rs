//! Speech for quality measurements: synthesised in every run, at the level of a telephone.

use std::path::Path;
use std::process::Command;

use codecs::SampleRate;

/// A voice and its text.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    /// Name of an espeak-ng voice.
    pub voice: &'static str,
    /// Sentences that the voice speaks.
    pub text: &'static str,
}

/// Four male and four female voices, in English and Spanish.
///
/// The spectrum of these voices falls towards high frequencies as that of people does (the Klatt synthesiser, the softer variants
/// of espeak's own). Other voices buzz evenly up to 8 kHz, which costs every codec half a MOS before any loss.
pub const PROMPTS: [Prompt; 8] = [
    Prompt {
        voice: "en-us+klatt4",
        text: "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
               It is easy to tell the depth of a well.",
    },
    Prompt {
        voice: "es+f1",
        text: "El pedido llegará el jueves por la tarde. Por favor, deme su número de teléfono. \
               Muchas gracias por su llamada.",
    },
    Prompt {
        voice: "en-us+f3",
        text: "These days a chicken leg is a rare dish. Rice is often served in round bowls. \
               The juice of lemons makes fine punch.",
    },
    Prompt {
        voice: "es+klatt2",
        text: "Hay una reunión a las diez de la mañana. El camino está cerrado por la nieve. \
               No olvide traer sus documentos.",
    },
    Prompt {
        voice: "en-us+klatt2",
        text: "The source of the huge river is the clear spring. Kick the ball straight and follow through. \
               Help the woman get back to her feet.",
    },
    Prompt {
        voice: "es+f2",
        text: "Los niños juegan en el parque todos los días. Necesito un billete para Madrid. \
               La puerta azul está abierta.",
    },
    Prompt {
        voice: "en-us+f1",
        text: "A large size in stockings is hard to sell. The boy was there when the sun rose. \
               A rod is used to catch pink salmon.",
    },
    Prompt {
        voice: "es+m5",
        text: "Mañana llegará el tren de las ocho y media. Quisiera hablar con la oficina. \
               El médico le espera en la segunda planta.",
    },
];

/// Level of active speech, in dB relative to overload, as in ITU-T P.800 and P.862.
const ACTIVE_DB: f64 = -26.0;
/// Energy ratio to the loudest 10 ms below which 10 ms count as a pause.
const PAUSE: f64 = 1e-3;
/// Silence before and after the speech, in milliseconds.
const SILENCE_MS: u32 = 500;

impl Prompt {
    /// Synthesises the prompt, band-limited to 50 to 7000 Hz (ITU-T P.341), with half a second of silence at both ends.
    /// Intermediate files are written to `folder`.
    ///
    /// # Panics
    /// When espeak-ng or sox is missing or fails.
    pub fn speak(&self, rate: SampleRate, folder: &Path) -> Vec<i16> {
        let name = format!("{}-{}", self.voice, rate.hz());
        let (spoken, converted) = (folder.join(format!("{name}.wav")), folder.join(format!("{name}.raw")));
        run(Command::new("espeak-ng").args(["-v", self.voice, "-s", "150", "-w"]).arg(&spoken).arg(self.text));
        run(Command::new("sox")
            .arg(&spoken)
            .args(["-r", &rate.hz().to_string(), "-c", "1", "-b", "16", "-e", "signed", "-t", "raw", "-L", "-D"])
            .arg(&converted)
            // Headroom for the filter's overshoot; the level is set below.
            .args(["gain", "-6", "sinc", if rate == SampleRate::HZ_8000 { "50" } else { "50-7000" }]));
        let bytes = std::fs::read(&converted).expect("sox wrote its file");
        let (pairs, _) = bytes.as_chunks::<2>();
        let speech: Vec<f64> = pairs.iter().map(|&pair| f64::from(i16::from_le_bytes(pair))).collect();
        let gain = 32_768.0 * 10_f64.powf(ACTIVE_DB / 20.0) / active_rms(&speech, rate);
        let mut samples = vec![0; rate.samples_in_ms(SILENCE_MS)];
        samples.extend(speech.iter().map(|sample| (sample * gain).round().clamp(-32_768.0, 32_767.0) as i16));
        samples.resize(samples.len() + rate.samples_in_ms(SILENCE_MS), 0);
        samples
    }
}

fn active_rms(samples: &[f64], rate: SampleRate) -> f64 {
    let power = |part: &[f64]| part.iter().map(|sample| sample * sample).sum::<f64>() / part.len() as f64;
    let powers: Vec<f64> = samples.chunks_exact(rate.samples_in_ms(10)).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f64::max);
    let active: Vec<f64> = powers.into_iter().filter(|power| *power > loudest * PAUSE).collect();
    assert!(!active.is_empty(), "espeak-ng produced no audio");
    (active.iter().sum::<f64>() / active.len() as f64).sqrt()
}

fn run(command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}: run scripts/setup.sh test"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
