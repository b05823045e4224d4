//! Nothing allocates after construction: neither Rust code nor libopus.
//!
//! Two counters per thread: one in Rust's allocator, one in the C library's `malloc` family, which this program
//! replaces (an executable's symbols take precedence over those of shared libraries) and forwards to glibc's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use codecs::cng::{NoiseEncoder, NoiseGenerator};
use codecs::dtmf::{DtmfDetector, DtmfGenerator};
use codecs::g711::{AlawCodec, UlawCodec};
use codecs::g722::{G722Decoder, G722Encoder};
use codecs::l16::L16Codec;
use codecs::opus::{MAX_PAYLOAD, OpusDecoder, OpusEncoder, OpusSettings};
use codecs::plc::PitchConceal;
use codecs::progress::Progress;
use codecs::resample::Resampler;
use codecs::tones::{Sine, goertzel_dbfs, level_dbfs};
use codecs::vad::Vad;
use codecs::{Decoder, Encoder, SampleRate, gain};

thread_local! {
    static RUST_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static C_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is forwarded to the system's allocator unchanged; counting only changes a thread-local number.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        RUST_ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract, and the call is forwarded unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract, and the call is forwarded unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        RUST_ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract, and the call is forwarded unchanged.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
mod c_allocator {
    use std::ffi::c_void;

    use super::C_ALLOCATIONS;

    // SAFETY: glibc exports these three with the signatures of malloc, calloc and realloc.
    unsafe extern "C" {
        fn __libc_malloc(size: usize) -> *mut c_void;
        fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
        fn __libc_realloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    }

    fn count() {
        C_ALLOCATIONS.with(|count| count.set(count.get() + 1));
    }

    // SAFETY: the C library's contract is forwarded unchanged; the thread-local itself needs no allocation.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
        count();
        // SAFETY: as above.
        unsafe { __libc_malloc(size) }
    }

    // SAFETY: as for malloc.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn calloc(number: usize, size: usize) -> *mut c_void {
        count();
        // SAFETY: as above.
        unsafe { __libc_calloc(number, size) }
    }

    // SAFETY: as for malloc.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
        count();
        // SAFETY: as above.
        unsafe { __libc_realloc(pointer, size) }
    }
}

/// Returns the numbers of allocations that `work` makes: (Rust, C).
fn allocations(work: impl FnOnce()) -> (u64, u64) {
    let before = (RUST_ALLOCATIONS.get(), C_ALLOCATIONS.get());
    work();
    (RUST_ALLOCATIONS.get() - before.0, C_ALLOCATIONS.get() - before.1)
}

const RATES: [SampleRate; 4] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

/// Returns two seconds of sound that rises and falls like speech.
fn voice(rate: SampleRate) -> Vec<i16> {
    let mut samples = vec![0; rate.samples_in_ms(2000)];
    let mut part = samples.clone();
    for (harmonic, level) in [(1.0, -14.0), (2.0, -16.0), (5.0, -22.0), (11.0, -28.0)] {
        Sine::new(rate, 170.0 * harmonic, level).fill(&mut part);
        samples.iter_mut().zip(&part).for_each(|(sample, more)| *sample += more);
    }
    samples.chunks_mut(rate.samples_in_ms(250)).step_by(3).for_each(|quiet| gain::apply_db(quiet, -50.0));
    samples
}

#[test]
fn both_counters_count_allocations() {
    let (rust, _) = allocations(|| drop(black_box(Box::new([0; 100]))));
    assert!(rust > 0);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let (_, c) = allocations(|| drop(black_box(OpusDecoder::new(SampleRate::HZ_8000))));
        assert!(c > 0, "libopus allocates its state when it is created");
    }
}

/// Encodes, decodes, loses, recovers and conceals two seconds.
fn exercise(name: &str, encoder: &mut dyn Encoder, decoder: &mut dyn Decoder) {
    let pcm = voice(encoder.sample_rate());
    let frame = encoder.sample_rate().samples_in_ms(20);
    let mut payload = vec![0; MAX_PAYLOAD];
    let mut out = vec![0; decoder.sample_rate().samples_in_ms(20)];
    let counted = allocations(|| {
        for (number, samples) in pcm.chunks_exact(frame).enumerate() {
            let length = encoder.encode(samples, &mut payload).expect("whole frames can be encoded");
            if number % 7 == 3 {
                decoder.conceal(&mut out);
            } else if number % 7 == 5 && decoder.recover(&payload[..length], &mut out) {
                black_box(&out);
            } else {
                decoder.decode(&payload[..length], &mut out).expect("an encoded payload can be decoded");
            }
            black_box(decoder.decode(&[0xff; 3], &mut out)).ok();
        }
    });
    assert_eq!(counted, (0, 0), "{name}");
}

#[test]
fn codecs_do_not_allocate() {
    exercise("PCMU", &mut UlawCodec::new(), &mut UlawCodec::new());
    exercise("PCMA", &mut AlawCodec::new(), &mut AlawCodec::new());
    exercise("G.722", &mut G722Encoder::new(), &mut G722Decoder::new());
    for rate in RATES {
        exercise("L16", &mut L16Codec::new(rate), &mut L16Codec::new(rate));
        for dtx in [false, true] {
            let settings = OpusSettings { dtx, ..OpusSettings::default() };
            let mut encoder = OpusEncoder::new(rate, settings).expect("settings are in range");
            let mut decoder = OpusDecoder::new(rate).expect("libopus supports the rate");
            exercise("Opus", &mut encoder, &mut decoder);
        }
    }
}

#[test]
fn resamplers_do_not_allocate() {
    for from in RATES {
        for to in RATES {
            let mut resampler = Resampler::new(from, to);
            let pcm = voice(from);
            let mut out = vec![0; resampler.max_output(pcm.len())];
            let counted = allocations(|| {
                pcm.chunks(from.samples_in_ms(20)).for_each(|frame| _ = black_box(resampler.process(frame, &mut out)));
                black_box(resampler.process(&pcm, &mut out));
            });
            assert_eq!(counted, (0, 0), "{from} to {to}");
        }
    }
}

#[test]
fn listeners_and_sources_do_not_allocate() {
    for rate in RATES {
        let (mut vad, mut dtmf, mut plc) = (Vad::new(rate), DtmfDetector::new(rate), PitchConceal::new(rate));
        let mut digit = DtmfGenerator::new(rate, '5', 200, DtmfGenerator::LEVEL_DBFS).expect("5 is a digit");
        let mut sine = Sine::new(rate, 440.0, -10.0);
        let (mut background, mut noise) = (NoiseEncoder::new(10), NoiseGenerator::new());
        let mut progress = Progress::new(rate);
        let mut pcm = voice(rate);
        let counted = allocations(|| {
            for frame in pcm.chunks_mut(rate.samples_in_ms(20)) {
                black_box(progress.push(frame));
                black_box(vad.push(frame));
                plc.good(frame);
                plc.conceal(frame);
                noise.update(background.analyse(frame).as_ref()).expect("a payload has a level");
                noise.generate(frame);
                gain::ramp(frame, 1.0, 0.2);
                gain::apply_db(frame, -3.0);
                black_box((level_dbfs(frame), goertzel_dbfs(frame, rate, 440.0)));
                sine.fill(frame);
                digit.fill(frame);
                dtmf.push(frame, |event| _ = black_box(event));
                // A key and a tone after the voice, so that events are told.
                black_box(progress.push(frame));
            }
        });
        assert_eq!(counted, (0, 0), "{rate}");
    }
}
