//! One tick of 20 ms for 1,000 parties at 8 kHz (999 in rooms of 3), mixed in rooms of 3 and of 50: without codecs and sockets.
//!
//! `cargo bench -p benches --bench mix`. The aim is less than 20 ms on one core: the printed time divided by 20 ms is the share of
//! a core that a thousand mixed parties take.

#![allow(missing_docs, reason = "what the macros make")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use media_engine::audio::{HeardBy, Mix, Party};
use media_engine::units::SampleRate;

const PARTIES: usize = 1_000;

/// Who is in a room: parties 0, 1, 2 … of a room get these rates in turn.
type Rates = &'static [SampleRate];

struct Rooms {
    rooms: Vec<(Mix, Vec<(Party, usize)>)>,
    /// What is said, by the length of its frame: noise of −20 dBFS.
    frames: Vec<Vec<i16>>,
    out: [i16; 960],
}

impl Rooms {
    fn new(size: usize, rates: Rates) -> Rooms {
        let room = |_| {
            let mut mix = Mix::new();
            let parties =
                (0..size).map(|n| (mix.join(rates[n % rates.len()], HeardBy::All), n % rates.len())).collect();
            (mix, parties)
        };
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16 / 6
        };
        let frames = rates.iter().map(|rate| (0..rate.samples_in_ms(20)).map(|_| noise()).collect()).collect();
        Rooms { rooms: (0..PARTIES / size).map(room).collect(), frames, out: [0; 960] }
    }

    fn tick(&mut self) {
        for (mix, parties) in &mut self.rooms {
            for &(party, rate) in &*parties {
                mix.say(party, Some(&self.frames[rate]));
            }
            mix.mix();
            for &(party, rate) in &*parties {
                let out = &mut self.out[..self.frames[rate].len()];
                mix.hear(party, out);
                black_box(out);
            }
        }
    }
}

fn tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mix_tick_of_1000_parties");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    let narrow: Rates = &[SampleRate::HZ_8000];
    let mixed: Rates = &[SampleRate::HZ_8000, SampleRate::HZ_8000, SampleRate::HZ_48000];
    for size in [3, 50] {
        for (name, rates) in [("8_khz", narrow), ("8_and_48_khz", mixed)] {
            let mut rooms = Rooms::new(size, rates);
            group.bench_function(format!("rooms_of_{size}/{name}"), |bencher| bencher.iter(|| rooms.tick()));
        }
    }
    group.finish();
}

criterion_group!(benches, tick);
criterion_main!(benches);
