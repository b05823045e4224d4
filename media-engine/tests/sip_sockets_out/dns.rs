//! A small DNS server.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// Queries for names under this one are never answered.
const SILENT: &str = "silent.test.";

type Zone = HashMap<(String, RecordType), Vec<RData>>;

#[derive(Clone)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl NameServer {
    pub(crate) async fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = NameServer { address: socket.local_addr().unwrap(), zone: Arc::default() };
        let zone = Arc::clone(&server.zone);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(answer) = answer(&zone.lock().unwrap(), &query) {
                    let _ = socket.try_send_to(&answer.to_vec().unwrap(), peer);
                }
            }
        });
        server
    }

    pub(crate) fn host(&self, name: &str) {
        let data = RData::A(A(Ipv4Addr::LOCALHOST));
        self.zone.lock().unwrap().insert((format!("{name}."), RecordType::A), vec![data]);
    }

    /// Adds SRV records of (priority, port, target).
    pub(crate) fn service(&self, name: &str, records: &[(u16, u16, &str)]) {
        let data = records.iter().map(|(priority, port, target)| {
            RData::SRV(SRV::new(*priority, 1, *port, Name::from_ascii(format!("{target}.")).unwrap()))
        });
        self.zone.lock().unwrap().insert((format!("{name}."), RecordType::SRV), data.collect());
    }
}

fn answer(zone: &Zone, query: &Message) -> Option<Message> {
    let question = query.queries.first()?.clone();
    let name = question.name().to_ascii().to_ascii_lowercase();
    if name.ends_with(SILENT) {
        return None;
    }
    let mut answer = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    match zone.get(&(name, question.query_type())) {
        Some(records) => {
            for data in records {
                answer.add_answer(Record::from_rdata(question.name().clone(), 60, data.clone()));
            }
        }
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(question);
    Some(answer)
}
