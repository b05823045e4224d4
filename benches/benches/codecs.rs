//! Codecs by the frame of 20 ms: one direction of one stream, over a second of speech-like audio.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use codecs::cng::{NoiseEncoder, NoiseGenerator};
use codecs::g711::{AlawCodec, UlawCodec};
use codecs::g722::{G722Decoder, G722Encoder};
use codecs::l16::L16Codec;
use codecs::opus::{MAX_PAYLOAD, OpusDecoder, OpusEncoder, OpusSettings};
use codecs::plc::PitchConceal;
use codecs::tones::Sine;
use codecs::{Decoder, Encoder, SampleRate};
use criterion::{Criterion, criterion_group, criterion_main};

const FRAMES: usize = 50;

/// Harmonics of a voice with four syllables a second.
fn voice(rate: SampleRate) -> Vec<i16> {
    let count = rate.samples_in_ms(20) * FRAMES;
    let mut sum = vec![0_f32; count];
    for (hz, dbfs) in [(140.0, -16.0), (280.0, -20.0), (560.0, -22.0), (1_120.0, -26.0), (2_240.0, -32.0)] {
        let mut one = vec![0; count];
        Sine::new(rate, hz, dbfs).fill(&mut one);
        for (n, (sum, one)) in sum.iter_mut().zip(one).enumerate() {
            let syllable = 0.55 + 0.45 * (n as f32 / rate.hz() as f32 * 4.0 * std::f32::consts::TAU).cos();
            *sum += f32::from(one) * syllable;
        }
    }
    sum.into_iter().map(|sample| sample as i16).collect()
}

/// Benchmarks both directions of one codec; every iteration processes the next frame.
fn both_ways(bench: &mut Criterion, name: &str, encoder: &mut dyn Encoder, decoder: &mut dyn Decoder) {
    let pcm = voice(encoder.sample_rate());
    let frames: Vec<&[i16]> = pcm.chunks_exact(encoder.sample_rate().samples_in_ms(20)).collect();
    let mut out = [0; MAX_PAYLOAD];
    let mut payloads = Vec::new();
    for frame in &frames {
        let length = encoder.encode(frame, &mut out).expect("whole frames encode");
        payloads.push(out[..length].to_vec());
    }
    let mut next = (0..FRAMES).cycle();
    bench.bench_function(&format!("{name}/encode"), |run| {
        run.iter(|| encoder.encode(frames[next.next().unwrap_or(0)], black_box(&mut out)));
    });
    let mut samples = [0; 960];
    bench.bench_function(&format!("{name}/decode"), |run| {
        run.iter(|| decoder.decode(&payloads[next.next().unwrap_or(0)], black_box(&mut samples)));
    });
}

fn codecs(bench: &mut Criterion) {
    both_ways(bench, "PCMU", &mut UlawCodec::new(), &mut UlawCodec::new());
    both_ways(bench, "PCMA", &mut AlawCodec::new(), &mut AlawCodec::new());
    both_ways(bench, "G.722", &mut G722Encoder::new(), &mut G722Decoder::new());
    let wide = SampleRate::HZ_16000;
    both_ways(bench, "L16 16 kHz", &mut L16Codec::new(wide), &mut L16Codec::new(wide));
    for (rate, complexity) in [(SampleRate::HZ_8000, 0), (SampleRate::HZ_8000, 5), (wide, 5), (SampleRate::HZ_48000, 5)]
    {
        let settings = OpusSettings { complexity, ..OpusSettings::default() };
        let mut encoder = OpusEncoder::new(rate, settings).expect("settings are in range");
        let mut decoder = OpusDecoder::new(rate).expect("the rate is one of libopus's");
        both_ways(bench, &format!("Opus {rate}, complexity {complexity}"), &mut encoder, &mut decoder);
    }
}

fn concealment(bench: &mut Criterion) {
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_48000] {
        let pcm = voice(rate);
        let mut frame = pcm[..rate.samples_in_ms(20)].to_vec();
        let mut plc = PitchConceal::new(rate);
        bench.bench_function(&format!("concealment {rate}/a frame that came"), |run| {
            run.iter(|| plc.good(black_box(&mut frame)));
        });
        let mut out = frame.clone();
        bench.bench_function(&format!("concealment {rate}/one came, one lost"), |run| {
            run.iter(|| {
                out.copy_from_slice(&frame);
                plc.good(&mut out);
                plc.conceal(black_box(&mut out));
            });
        });
    }
}

fn comfort_noise(bench: &mut Criterion) {
    let pcm = voice(SampleRate::HZ_8000);
    let (mut encoder, mut generator) = (NoiseEncoder::new(10), NoiseGenerator::new());
    bench.bench_function("comfort noise/analyse", |run| run.iter(|| encoder.analyse(black_box(&pcm[..160]))));
    generator.update(&[50, 100, 130]).expect("a payload with a level");
    let mut out = [0; 160];
    bench.bench_function("comfort noise/generate", |run| run.iter(|| generator.generate(black_box(&mut out))));
}

criterion_group!(all, codecs, concealment, comfort_noise);
criterion_main!(all);
