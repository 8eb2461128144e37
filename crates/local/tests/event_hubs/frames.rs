//! What is on the wire, seen by a client that is no library: it writes what the
//! libraries would not send, and sees frames as they come.

use fe2o3_amqp::types::definitions::{Handle, LinkError, Role};
use fe2o3_amqp::types::messaging::{Source, Target};
use fe2o3_amqp::types::performatives::{Attach, Begin, Detach, Open, Transfer};
use fe2o3_amqp::types::sasl::{SaslInit, SaslMechanisms, SaslOutcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stand_in::StandIn;

const AMQP: u8 = 0;
const SASL: u8 = 1;

struct Wire(TcpStream);

impl Wire {
    async fn write(&mut self, kind: u8, performative: &impl Serialize, payload: &[u8]) {
        let body = serde_amqp::to_vec(performative).unwrap();
        let size = 8 + body.len() + payload.len();
        let header = [&(size as u32).to_be_bytes()[..], &[2, kind, 0, 0]].concat();
        self.0.write_all(&[&header[..], &body, payload].concat()).await.unwrap();
    }

    /// The body of the next frame that has one.
    async fn body(&mut self) -> Vec<u8> {
        loop {
            let size = self.0.read_u32().await.unwrap() as usize;
            let mut frame = vec![0; size - 4];
            self.0.read_exact(&mut frame).await.unwrap();
            if frame.len() > 4 {
                return frame.split_off(4);
            }
        }
    }

    async fn read<T: DeserializeOwned>(&mut self) -> T {
        serde_amqp::from_slice(&self.body().await).unwrap()
    }

    async fn exchange_headers(&mut self, protocol: u8) {
        let header = [b'A', b'M', b'Q', b'P', protocol, 1, 0, 0];
        self.0.write_all(&header).await.unwrap();
        let mut answer = [0; 8];
        self.0.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, header);
    }

    /// A connection with one session; gives the bodies of the listener's open and begin.
    async fn connect(stand_in: &StandIn) -> (Self, Vec<u8>, Vec<u8>) {
        let mut wire = Self(TcpStream::connect(&stand_in.address).await.unwrap());
        wire.exchange_headers(3).await;
        let offered: SaslMechanisms = wire.read().await;
        assert_eq!(offered.sasl_server_mechanisms.0, ["ANONYMOUS".into()]);
        let init = SaslInit { mechanism: "ANONYMOUS".into(), initial_response: None, hostname: None };
        wire.write(SASL, &init, &[]).await;
        wire.read::<SaslOutcome>().await;
        wire.exchange_headers(0).await;
        let open = Open {
            container_id: "wire".to_owned(),
            hostname: None,
            max_frame_size: 65_536.into(),
            channel_max: Default::default(),
            idle_time_out: None,
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        wire.write(AMQP, &open, &[]).await;
        let open = wire.body().await;
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: 1_000,
            outgoing_window: 1_000,
            handle_max: Default::default(),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        wire.write(AMQP, &begin, &[]).await;
        let begin = wire.body().await;
        (wire, open, begin)
    }

    /// Attaches a sender for the hub `one`; gives the body of the listener's attach.
    async fn attach(&mut self) -> Vec<u8> {
        let attach = Attach {
            name: "wire".to_owned(),
            handle: Handle(0),
            role: Role::Sender,
            snd_settle_mode: Default::default(),
            rcv_settle_mode: fe2o3_amqp::types::definitions::ReceiverSettleMode::Second,
            source: Some(Box::new(Source::default())),
            target: Some(Box::new(Target::builder().address("one").build().into())),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: Some(0),
            max_message_size: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.write(AMQP, &attach, &[]).await;
        self.body().await
    }
}

/// The descriptor of a performative and how many fields it has on the wire.
fn fields(body: &[u8]) -> (u8, usize) {
    match *body {
        [0x00, 0x53, descriptor, 0xc0, _, count, ..] => (descriptor, count.into()),
        [0x00, 0x53, descriptor, 0xd0, _, _, _, _, a, b, c, d, ..] => {
            (descriptor, u32::from_be_bytes([a, b, c, d]) as usize)
        }
        _ => panic!("no performative: {body:?}"),
    }
}

#[tokio::test]
async fn performatives_come_in_full_and_settle_mode_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path());
    let (mut wire, open, begin) = Wire::connect(&stand_in).await;
    let attach = wire.attach().await;
    let flow = wire.body().await;
    let counts = [fields(&open), fields(&begin), fields(&attach), fields(&flow)];
    assert_eq!(counts, [(0x10, 10), (0x11, 8), (0x12, 14), (0x13, 11)]);

    let attach: Attach = serde_amqp::from_slice(&attach).unwrap();
    assert_eq!(attach.max_message_size, Some(1_048_576));
    assert_eq!(attach.rcv_settle_mode, fe2o3_amqp::types::definitions::ReceiverSettleMode::First);
    let begin: Begin = serde_amqp::from_slice(&begin).unwrap();
    assert_eq!(begin.handle_max, Handle(1023));
}

#[tokio::test]
async fn a_message_above_the_announced_size_closes_its_link_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path());
    let (mut wire, ..) = Wire::connect(&stand_in).await;
    wire.attach().await;
    let _flow = wire.body().await;
    let transfer = Transfer {
        handle: Handle(0),
        delivery_id: Some(0),
        delivery_tag: Some(b"0".to_vec().into()),
        message_format: Some(0),
        settled: Some(false),
        more: true,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    };
    for _ in 0..=1_048_576 / 60_000 {
        wire.write(AMQP, &transfer, &[0; 60_000]).await;
    }
    let body = loop {
        let body = wire.body().await;
        if fields(&body).0 == 0x16 {
            break body;
        }
    };
    assert_eq!(fields(&body), (0x16, 3));
    let detach: Detach = serde_amqp::from_slice(&body).unwrap();
    assert!(detach.closed);
    assert_eq!(detach.error.map(|error| error.condition), Some(LinkError::MessageSizeExceeded.into()));
    assert_eq!(stand_in.client("one").await.event_count().await.unwrap(), 0);
}
