//! Recognition of the known phrases with libpocketsphinx.
//!
//! ```text
//!   samples ─▶ to 16 kHz ─▶ ps_process_raw ─▶ words ─▶ the written phrase, or "unrecognised"
//! ```
//!
//! Invariants: every call into the library is in this file; a `Recogniser` is the only owner of its decoder and frees it. Not
//! here: end-pointing (the sender of the audio marks the end of an utterance), the wire format.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use codecs::SampleRate;
use codecs::resample::Resampler;

use crate::ffi;
use crate::grammar::{Grammar, is_foreign_sound};
use crate::phrases::Phrases;
use crate::upsample::ImageUpsampler;

/// Folder of the model in Debian's package.
const DEFAULT_MODEL: &str = "/usr/share/pocketsphinx/model/en-us";
/// Error text when the model is missing.
const MODEL_MISSING: &str = "the English speech model is not installed; run `apt-get install pocketsphinx-en-us`";
/// Name of the decoder's only search.
const SEARCH: &CStr = c"phrases";
/// Share of foreign sounds above which a whole utterance is unrecognised; below it are breaths and hesitations.
const FOREIGN_SHARE: f32 = 0.2;
/// Maximum number of samples per call of the library: 100 ms.
const PIECE: usize = 1_600;

/// Result of an utterance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Recognised phrases as written; empty for silence and for foreign speech.
    pub(crate) text: String,
    /// There was speech that is none of the phrases.
    pub(crate) unrecognised: bool,
}

/// One stream of English speech.
pub(crate) struct Recogniser {
    decoder: NonNull<ffi::PsDecoder>,
    phrases: Arc<Phrases>,
    input: Input,
    in_utterance: bool,
    wideband: Vec<i16>,
}

/// Conversion of the input to 16 kHz.
enum Input {
    Narrowband(Box<ImageUpsampler>),
    Wideband,
    Other(Resampler),
}

impl Recogniser {
    /// Fails with the package to install when the model is missing.
    pub(crate) fn check_installed() -> Result<()> {
        let dictionary = dictionary_path();
        ensure!(dictionary.is_file() && acoustic_model().join("mdef").is_file(), MODEL_MISSING);
        Ok(())
    }

    /// Loads model and grammar; takes about 50 ms, more when the disk is cold.
    pub(crate) fn load(phrases: Arc<Phrases>) -> Result<Recogniser> {
        Recogniser::check_installed()?;
        let dictionary = std::fs::read_to_string(dictionary_path()).context(MODEL_MISSING)?;
        let grammar = Grammar::compile(&phrases, &dictionary)?;
        // SAFETY: a null stream switches the library's log off; it is read nowhere else.
        unsafe { ffi::err_set_logfp(ptr::null_mut()) };
        let recogniser = Recogniser {
            decoder: open_decoder()?,
            phrases,
            input: Input::Wideband,
            in_utterance: false,
            wideband: Vec::with_capacity(PIECE),
        };
        recogniser.add_words(&grammar)?;
        recogniser.set_grammar(&grammar)?;
        Ok(recogniser)
    }

    /// Begins an utterance of mono samples at `rate` Hz; an open one is discarded.
    pub(crate) fn start(&mut self, rate: u32) -> Result<()> {
        if self.in_utterance {
            self.finish()?;
        }
        self.input = match SampleRate::from_hz(rate) {
            Some(SampleRate::HZ_8000) => Input::Narrowband(Box::new(ImageUpsampler::new())),
            Some(SampleRate::HZ_16000) => Input::Wideband,
            Some(other) => Input::Other(Resampler::new(other, SampleRate::HZ_16000)),
            None => bail!("sound at {rate} Hz cannot be used; send 8000, 16000, 24000 or 48000"),
        };
        // SAFETY: the decoder is alive while `self` is, and no utterance is open.
        let started = unsafe {
            ffi::ps_start_stream(self.decoder.as_ptr());
            ffi::ps_start_utt(self.decoder.as_ptr())
        };
        ensure!(started == 0, "libpocketsphinx could not begin an utterance");
        self.in_utterance = true;
        Ok(())
    }

    /// Adds samples to the utterance; ignored when none is open.
    pub(crate) fn feed(&mut self, samples: &[i16]) -> Result<()> {
        if !self.in_utterance {
            return Ok(());
        }
        for piece in samples.chunks(PIECE / 2) {
            self.wideband.clear();
            match &mut self.input {
                Input::Narrowband(upsampler) => upsampler.process(piece, &mut self.wideband),
                Input::Wideband => self.wideband.extend_from_slice(piece),
                Input::Other(resampler) => {
                    self.wideband.resize(resampler.max_output(piece.len()), 0);
                    let count = resampler.process(piece, &mut self.wideband);
                    self.wideband.truncate(count);
                }
            }
            // SAFETY: pointer and length are those of one live vector, which the library only reads during the call.
            let frames = unsafe {
                ffi::ps_process_raw(self.decoder.as_ptr(), self.wideband.as_ptr(), self.wideband.len(), 0, 0)
            };
            ensure!(frames >= 0, "libpocketsphinx could not use the sound");
        }
        Ok(())
    }

    /// Returns the words so far; `None` while they match no phrase.
    pub(crate) fn partial(&self) -> Option<String> {
        let words = self.words();
        if words.iter().any(|word| is_foreign_sound(&word.text)) {
            return None;
        }
        self.phrases.write(&words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>())
    }

    /// Ends the utterance and returns its result.
    pub(crate) fn finish(&mut self) -> Result<Heard> {
        if !self.in_utterance {
            return Ok(Heard::default());
        }
        self.in_utterance = false;
        // If the speech ends in the middle of a phrase, the grammar's final state is not reached and the library returns no words.
        let had_words = !self.words().is_empty();
        // SAFETY: the decoder is alive and an utterance is open.
        let ended = unsafe { ffi::ps_end_utt(self.decoder.as_ptr()) };
        ensure!(ended == 0, "libpocketsphinx could not end the utterance");
        let words = self.words();
        let total: usize = words.iter().map(|word| word.frames).sum();
        let foreign: usize = words.iter().filter(|word| is_foreign_sound(&word.text)).map(|word| word.frames).sum();
        let known: Vec<&str> =
            words.iter().map(|word| word.text.as_str()).filter(|word| !is_foreign_sound(word)).collect();
        if known.is_empty() || foreign as f32 > total as f32 * FOREIGN_SHARE {
            return Ok(Heard { text: String::new(), unrecognised: had_words || total > 0 });
        }
        // The best path may end in the middle of a phrase, which then is not a result.
        Ok(match self.phrases.write(&known) {
            Some(text) => Heard { text, unrecognised: false },
            None => Heard { text: String::new(), unrecognised: true },
        })
    }

    /// Returns the words of the best hypothesis without silence, fillers and pronunciation marks.
    fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        // SAFETY: the decoder is alive; the iterator is used until it is null, which frees it; the word is copied before the
        // iterator advances; the frame numbers are written to two live integers.
        unsafe {
            let mut segment = ffi::ps_seg_iter(self.decoder.as_ptr());
            while !segment.is_null() {
                let text = ffi::ps_seg_word(segment);
                if !text.is_null() {
                    let (mut first, mut last): (c_int, c_int) = (0, 0);
                    ffi::ps_seg_frames(segment, &raw mut first, &raw mut last);
                    let text = CStr::from_ptr(text).to_string_lossy();
                    words.extend(Word::new(&text, first, last));
                }
                segment = ffi::ps_seg_next(segment);
            }
        }
        words
    }

    fn add_words(&self, grammar: &Grammar) -> Result<()> {
        for (word, phones) in &grammar.dictionary {
            let (word_c, phones_c) = (CString::new(word.as_str())?, CString::new(phones.as_str())?);
            // SAFETY: both strings end in NUL and outlive the call, which copies them.
            let added = unsafe { ffi::ps_add_word(self.decoder.as_ptr(), word_c.as_ptr(), phones_c.as_ptr(), 0) };
            ensure!(added >= 0, "the dictionary entry `{word} {phones}` is not usable");
        }
        Ok(())
    }

    fn set_grammar(&self, grammar: &Grammar) -> Result<()> {
        // SAFETY: the stream reads the live text and is closed before the text is dropped; the reference to the model is owned
        // until `ps_set_fsg` takes its own, and is then released.
        let set = unsafe {
            let stream = libc::fmemopen(grammar.text.as_ptr().cast_mut().cast(), grammar.text.len(), c"r".as_ptr());
            ensure!(!stream.is_null(), "no memory for the grammar");
            let model = ffi::fsg_model_read(stream, ffi::ps_get_logmath(self.decoder.as_ptr()), 1.0);
            libc::fclose(stream);
            ensure!(!model.is_null(), "libpocketsphinx refused the grammar");
            let set = ffi::ps_set_fsg(self.decoder.as_ptr(), SEARCH.as_ptr(), model);
            ffi::fsg_model_free(model);
            if set == 0 { ffi::ps_set_search(self.decoder.as_ptr(), SEARCH.as_ptr()) } else { set }
        };
        ensure!(set == 0, "libpocketsphinx refused the grammar");
        Ok(())
    }
}

impl Drop for Recogniser {
    fn drop(&mut self) {
        // SAFETY: this is the only owner and the last use.
        unsafe { ffi::ps_free(self.decoder.as_ptr()) };
    }
}

struct Word {
    text: String,
    frames: usize,
}

impl Word {
    fn new(text: &str, first: c_int, last: c_int) -> Option<Word> {
        if text.starts_with(['<', '[', '(']) {
            return None;
        }
        let text = text.split_once('(').map_or(text, |(base, _)| base);
        Some(Word { text: text.to_owned(), frames: usize::try_from(last - first + 1).unwrap_or(0) })
    }
}

fn model_folder() -> PathBuf {
    std::env::var_os("TANDEM_LOCAL_SPEECH_MODEL").map_or_else(|| Path::new(DEFAULT_MODEL).to_owned(), PathBuf::from)
}

fn acoustic_model() -> PathBuf {
    model_folder().join("en-us")
}

fn dictionary_path() -> PathBuf {
    model_folder().join("cmudict-en-us.dict")
}

/// Creates a decoder with the acoustic model and no words.
///
/// Beams: with the library's default (1e-48) a tenth of the words of a 160 words-a-minute voice is lost, from 1e-80 on none.
/// `fwdflat no`: without a second pass, the result is available some 15 ms after the last sample instead of 500.
fn open_decoder() -> Result<NonNull<ffi::PsDecoder>> {
    let model = acoustic_model().to_string_lossy().into_owned();
    let arguments = [
        "-hmm",
        &model,
        "-fwdflat",
        "no",
        "-bestpath",
        "no",
        "-beam",
        "1e-100",
        "-pbeam",
        "1e-100",
        "-wbeam",
        "1e-70",
        "-remove_noise",
        "no",
        "-lw",
        "1",
    ];
    let arguments: Vec<CString> = arguments.iter().map(|text| CString::new(*text)).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    // SAFETY: the pointers refer to NUL-terminated strings that outlive the call, which copies them; `ps_init` keeps its own
    // reference to the configuration, and the local one is released.
    let decoder = unsafe {
        let config =
            ffi::cmd_ln_parse_r(ptr::null_mut(), ffi::ps_args(), pointers.len() as i32, pointers.as_mut_ptr(), 1);
        ensure!(!config.is_null(), "libpocketsphinx refused its settings");
        let decoder = ffi::ps_init(config);
        ffi::cmd_ln_free_r(config);
        decoder
    };
    NonNull::new(decoder).context("libpocketsphinx could not load the English model; reinstall pocketsphinx-en-us")
}
