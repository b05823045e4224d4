//! The engine's worker pool as the peer under test: one media thread on one CPU.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use media_engine::config::MediaConfig;
use media_engine::net::ports::PortRange;
use media_engine::sdp::{Audio, Codec, Direction};
use media_engine::units::{LegId, Ptime};
use media_engine::worker::{Census, LegMedia, Pool, Worker, WorkerCommand};
use tokio::sync::{mpsc, oneshot};

use crate::Case;
use crate::generator::LegEnd;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORTS: (u16, u16) = (24_000, 27_999);

/// A running pool.
pub(crate) struct Running {
    pool: Pool,
    worker: Worker,
    range: PortRange,
    legs: Vec<LegId>,
    _events: Vec<mpsc::Receiver<media_engine::worker::WorkerEvent>>,
}

/// Starts the pool with `calls` bridged calls whose legs all talk to `generator`.
pub(crate) fn start(case: Case, calls: usize, generator: SocketAddr, cpu: usize) -> Result<(Running, Vec<LegEnd>)> {
    let media = MediaConfig { addresses: vec![LOOPBACK], ports: PORTS, workers: 1, cpus: vec![cpu] };
    let pool = Pool::start(&media)?;
    let worker = pool.place();
    let range = PortRange::new(LOOPBACK, PORTS);
    let (mut legs, mut ends, mut channels) = (Vec::new(), Vec::new(), Vec::new());
    for call in 0..calls {
        let codecs = [Codec::Pcmu, if case == Case::PcmuOpus { Codec::Opus } else { Codec::Pcmu }];
        for (side, codec) in codecs.into_iter().enumerate() {
            let ports = range.lease()?;
            let address = SocketAddr::new(LOOPBACK, ports.rtp_port());
            let leg = LegId((call * 2 + side) as u64 + 1);
            let (events, receiver) = mpsc::channel(64);
            let media = LegMedia::Rtp { ports, audio: Some(audio(codec, generator)), nat: false };
            worker.send(WorkerCommand::LegOpen { leg, media, events })?;
            ends.push(LegEnd { address, codec, listener: call * 2 + 1 - side, relayed: case == Case::PcmuPcmu });
            legs.push(leg);
            channels.push(receiver);
        }
        let at = legs.len();
        worker.send(WorkerCommand::Bridge { a: legs[at - 2], b: legs[at - 1] })?;
        census(&worker)?;
    }
    Ok((Running { pool, worker, range, legs, _events: channels }, ends))
}

impl Running {
    /// Closes all calls and checks that everything was given back.
    pub(crate) fn stop(self) -> Result<()> {
        for leg in &self.legs {
            self.worker.send(WorkerCommand::LegClose { leg: *leg })?;
        }
        let census = census(&self.worker)?;
        ensure!(census.legs == 0 && self.range.leased() == 0, "legs or ports were not given back: {census:?}");
        self.pool.shutdown();
        Ok(())
    }
}

fn census(worker: &Worker) -> Result<Census> {
    let (reply, answer) = oneshot::channel();
    worker.send(WorkerCommand::Census { reply })?;
    Ok(answer.blocking_recv()?)
}

fn audio(codec: Codec, generator: SocketAddr) -> Audio {
    let payload_type = codec.static_payload_type().unwrap_or(111);
    Audio {
        codec,
        payload_type,
        receive_payload_type: payload_type,
        telephone_event: None,
        ptime: Ptime::MS_20,
        remote_rtp: generator,
        remote_rtcp: SocketAddr::new(generator.ip(), 9),
        rtcp_mux: false,
        direction: Direction::SendRecv,
    }
}
