//! Changes the frames that the listener sends so that every client takes them.
//! What the client sends is passed on as it is, but for the frame size in its
//! open: filled frames must not grow beyond it.
//!
//! *Performatives in full.* AMQP 1.0 lets a sender leave out fields at the end
//! of a performative that are null (1.4), and fe2o3-amqp does. The Python client
//! reads performatives by position without looking at their length and fails on
//! that (functions-eventhubs-keda.md 7.9). Here they are filled up with nulls.
//!
//! *The client's channel numbers.* Either side numbers its channels as it likes
//! (2.5.1). fe2o3-amqp takes the lowest free number, so a session that begins
//! while another ends gets the number of that other, and the Rust client 0.15,
//! which opens and ends a session for each token, then drops the new session
//! together with the old. Here a session has the number that its client gave it.
//!
//! *A little later.* See [`super::Config::latency`].

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A frame starts with its size, the position of its body, its type and channel.
const FRAME_HEADER_BYTES: usize = 8;
/// The largest frame that a client gets, whatever it would take.
const CLIENT_FRAME_BYTES_MAX: u32 = 65_536;
/// What filling adds to a frame at the most: nulls, and longer forms of lists.
const FILLING_BYTES_MAX: u32 = 64;
/// Above what connections agree on, so that no frame is refused here.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
const NULL: u8 = 0x40;
/// What a protocol header starts with; no frame is so large.
const PROTOCOL: &[u8] = b"AMQP";
/// Frames that wait for their time: far more than a link's credit, and at most
/// 16 MiB.
const LATE_FRAMES_MAX: usize = 256;

/// Joins a client's connection with the listener's until one of them ends.
/// Every frame reaches the client `latency` after the listener wrote it.
pub async fn pass<C, L>(client: C, listener: L, latency: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    L: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_listener, mut to_listener) = tokio::io::split(listener);
    let taking = async {
        pass_open(&mut from_client, &mut to_listener).await?;
        copy(&mut from_client, &mut to_listener).await?;
        to_listener.shutdown().await?;
        // The client has said all; it still gets the answers.
        std::future::pending().await
    };
    tokio::select! {
        taken = taking => taken,
        passed = pass_frames(&mut from_listener, &mut to_client, latency) => passed,
    }
}

/// Passes on what the client says up to its open.
async fn pass_open(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    while let Some(frame) = read_frame(from).await? {
        let limited = limited_open(&frame);
        to.write_all(limited.as_ref().unwrap_or(&frame)).await?;
        if limited.is_some() {
            break;
        }
    }
    Ok(())
}

async fn pass_frames(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    latency: Duration,
) -> io::Result<()> {
    let (late, frames) = mpsc::channel(LATE_FRAMES_MAX);
    let (read, written) = tokio::join!(read_frames(from, late, latency), write_frames(frames, to));
    read.and(written)
}

/// Reads frames until the listener ends, and says when each is to be written.
async fn read_frames(
    from: &mut (impl AsyncRead + Unpin),
    late: mpsc::Sender<(Instant, Vec<u8>)>,
    latency: Duration,
) -> io::Result<()> {
    let mut channels = Channels::default();
    while let Some(mut frame) = read_frame(from).await? {
        channels.renumber(&mut frame);
        let frame = filled(&frame).unwrap_or(frame);
        if late.send((Instant::now() + latency, frame)).await.is_err() {
            // The client is gone.
            break;
        }
    }
    Ok(())
}

async fn write_frames(
    mut late: mpsc::Receiver<(Instant, Vec<u8>)>,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    while let Some((due, frame)) = late.recv().await {
        tokio::time::sleep_until(due).await;
        to.write_all(&frame).await?;
    }
    to.shutdown().await
}

/// One frame, or the protocol header in front of SASL and AMQP, which is as
/// long as a frame's; `None` at the end.
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; FRAME_HEADER_BYTES];
    match from.read_exact(&mut header).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let mut frame = header.to_vec();
    if !frame.starts_with(PROTOCOL) {
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if !(FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&size) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame has an impossible size"));
        }
        frame.resize(size, 0);
        from.read_exact(&mut frame[FRAME_HEADER_BYTES..]).await?;
    }
    Ok(Some(frame))
}

/// The client's channel number of each session, by the listener's.
#[derive(Debug, Default)]
struct Channels(HashMap<[u8; 2], [u8; 2]>);

impl Channels {
    fn renumber(&mut self, frame: &mut [u8]) {
        if frame.starts_with(PROTOCOL) {
            return;
        }
        let channel = [frame[6], frame[7]];
        let start = usize::from(frame[4]) * 4;
        let (begin, end) = match frame.get(start..) {
            // begin, whose first field is the client's channel
            Some([0x00, 0x53, 0x11, 0xc0, _, _, 0x60, a, b, ..]) => (Some([*a, *b]), false),
            Some([0x00, 0x53, 0x11, 0xd0, _, _, _, _, _, _, _, _, 0x60, a, b, ..]) => (Some([*a, *b]), false),
            Some([0x00, 0x53, 0x17, ..]) => (None, true),
            _ => (None, false),
        };
        if let Some(begin) = begin {
            self.0.insert(channel, begin);
        }
        if let Some(number) = self.0.get(&channel) {
            frame[6..8].copy_from_slice(number);
        }
        if end {
            self.0.remove(&channel);
        }
    }
}

/// The frame with its performative in full; `None` when there is nothing to
/// fill (SASL, an empty frame) or it has no form that is known here.
fn filled(frame: &[u8]) -> Option<Vec<u8>> {
    with_performative(frame, filled_list)
}

/// The client's open with a frame size that leaves room for filling; `None`
/// for other frames.
fn limited_open(frame: &[u8]) -> Option<Vec<u8>> {
    with_performative(frame, |performative| {
        let (0x10, mut fields) = read_list(performative)? else { return None };
        fields.resize(fields.len().max(3), &[NULL]);
        let announced = match *fields[2] {
            [0x70, a, b, c, d] => u32::from_be_bytes([a, b, c, d]),
            // Any size, when it says none.
            _ => u32::MAX,
        };
        let size = announced.min(CLIENT_FRAME_BYTES_MAX) - FILLING_BYTES_MAX;
        let size = [&[0x70], &size.to_be_bytes()[..]].concat();
        fields[2] = &size;
        Some(write_list(0x10, &fields))
    })
}

fn with_performative(frame: &[u8], change: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let is_amqp = frame[5] == 0 && !frame.starts_with(PROTOCOL);
    let start = usize::from(frame[4]) * 4;
    let body = frame.get(start..).filter(|body| is_amqp && !body.is_empty())?;
    let (performative, payload) = body.split_at_checked(value_bytes(body)?)?;
    let performative = change(performative)?;
    let size = start + performative.len() + payload.len();
    let mut changed = Vec::with_capacity(size);
    changed.extend((size as u32).to_be_bytes());
    changed.extend(&frame[4..start]);
    changed.extend(performative);
    changed.extend(payload);
    Some(changed)
}

/// How many fields the described lists have that the Python client reads by
/// position: the performatives and the error inside the last three.
fn field_count(descriptor: u8) -> Option<usize> {
    Some(match descriptor {
        0x10 => 10, // open
        0x11 => 8,  // begin
        0x12 => 14, // attach
        0x13 => 11, // flow
        0x14 => 11, // transfer
        0x15 => 6,  // disposition
        0x16 => 3,  // detach
        0x17 => 1,  // end
        0x18 => 1,  // close
        0x1d => 3,  // error
        _ => return None,
    })
}

/// Writes a described list anew with all its fields.
fn filled_list(value: &[u8]) -> Option<Vec<u8>> {
    let (descriptor, mut fields) = read_list(value)?;
    let wanted = field_count(descriptor)?;
    fields.resize(fields.len().max(wanted), &[NULL]);
    // Detach, end and close carry an error, which is such a list itself.
    let holds_error = matches!(descriptor, 0x16..=0x18);
    let errors: Vec<_> = fields.iter().map(|field| if holds_error { filled_list(field) } else { None }).collect();
    let fields: Vec<&[u8]> =
        fields.iter().zip(&errors).map(|(field, error)| error.as_deref().unwrap_or(field)).collect();
    Some(write_list(descriptor, &fields))
}

/// The descriptor and the encoded fields of a described list.
fn read_list(value: &[u8]) -> Option<(u8, Vec<&[u8]>)> {
    let (descriptor, list) = match *value {
        [0x00, 0x53, descriptor, ref list @ ..] => (descriptor, list),
        [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, descriptor, ref list @ ..] => (descriptor, list),
        _ => return None,
    };
    let (count, mut rest): (usize, &[u8]) = match *list {
        [0x45, ..] => (0, &[]),
        [0xc0, _, count, ref fields @ ..] => (usize::from(count), fields),
        [0xd0, _, _, _, _, a, b, c, d, ref fields @ ..] => (u32::from_be_bytes([a, b, c, d]) as usize, fields),
        _ => return None,
    };
    let mut fields = Vec::new();
    for _ in 0..count {
        let (field, others) = rest.split_at_checked(value_bytes(rest)?)?;
        fields.push(field);
        rest = others;
    }
    Some((descriptor, fields))
}

/// A described list in the long form, which has room for whatever was added.
fn write_list(descriptor: u8, fields: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = fields.iter().map(|field| field.len()).sum();
    let mut list = vec![0x00, 0x53, descriptor, 0xd0];
    list.extend((bytes as u32 + 4).to_be_bytes());
    list.extend((fields.len() as u32).to_be_bytes());
    list.extend(fields.concat());
    list
}

/// The length of the encoded value that `bytes` starts with (AMQP 1.0, 1.2).
fn value_bytes(bytes: &[u8]) -> Option<usize> {
    let code = *bytes.first()?;
    if code == 0x00 {
        let descriptor = value_bytes(&bytes[1..])?;
        return Some(1 + descriptor + value_bytes(bytes.get(1 + descriptor..)?)?);
    }
    let variable = |width: usize| {
        let size = bytes.get(1..1 + width)?.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        Some(1 + width + size)
    };
    match code >> 4 {
        0x4 => Some(1),
        0x5 => Some(2),
        0x6 => Some(3),
        0x7 => Some(5),
        0x8 => Some(9),
        0x9 => Some(17),
        0xa | 0xc | 0xe => variable(1),
        0xb | 0xd | 0xf => variable(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = ((FRAME_HEADER_BYTES + body.len()) as u32).to_be_bytes().to_vec();
        frame.extend([2, kind, 0, 7]);
        frame.extend(body);
        frame
    }

    #[test]
    fn fills_performatives_and_keeps_what_follows() {
        // A flow with two fields; a transfer with one and a payload; an empty end.
        let cases: [(&[u8], &[u8]); 3] = [
            (
                &[0x00, 0x53, 0x13, 0xc0, 4, 2, 0x52, 9, 0x43],
                &[
                    0x00, 0x53, 0x13, 0xd0, 0, 0, 0, 16, 0, 0, 0, 11, 0x52, 9, 0x43, 0x40, 0x40, 0x40, 0x40, 0x40,
                    0x40, 0x40, 0x40, 0x40,
                ],
            ),
            (
                &[0x00, 0x53, 0x14, 0xc0, 2, 1, 0x43, b'p', b'q'],
                &[
                    0x00, 0x53, 0x14, 0xd0, 0, 0, 0, 15, 0, 0, 0, 11, 0x43, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
                    0x40, 0x40, 0x40, b'p', b'q',
                ],
            ),
            (&[0x00, 0x53, 0x17, 0x45], &[0x00, 0x53, 0x17, 0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40]),
        ];
        for (body, expected) in cases {
            assert_eq!(filled(&frame(0, body)), Some(frame(0, expected)));
        }
    }

    #[test]
    fn fills_the_error_inside_a_detach() {
        // detach [handle 0, closed true, error [symbol "x"]]
        let body = [0x00, 0x53, 0x16, 0xc0, 12, 3, 0x43, 0x41, 0x00, 0x53, 0x1d, 0xc0, 4, 1, 0xa3, 1, b'x'];
        let expected = [
            0x00, 0x53, 0x16, 0xd0, 0, 0, 0, 23, 0, 0, 0, 3, 0x43, 0x41, // the error, in full:
            0x00, 0x53, 0x1d, 0xd0, 0, 0, 0, 9, 0, 0, 0, 3, 0xa3, 1, b'x', 0x40, 0x40,
        ];
        assert_eq!(filled(&frame(0, &body)), Some(frame(0, &expected)));
    }

    #[test]
    fn leaves_sasl_empty_and_unknown_frames_alone() {
        let sasl = frame(1, &[0x00, 0x53, 0x44, 0xc0, 2, 1, 0x50, 0]);
        for other in [sasl, frame(0, &[]), frame(0, &[0x00, 0x53, 0x70, 0x45]), frame(0, &[0x00, 0x53, 0x13, 0xc0])] {
            assert_eq!(filled(&other), None);
        }
    }

    #[test]
    fn sessions_have_the_number_of_their_client() {
        let begin = |remote: u8| vec![0x00, 0x53, 0x11, 0xc0, 5, 1, 0x60, 0, remote, 0x43];
        let (end, flow) = (vec![0x00, 0x53, 0x17, 0x45], vec![0x00, 0x53, 0x13, 0x45]);
        let mut channels = Channels::default();
        let bodies = [begin(3), flow.clone(), end.clone(), begin(9), flow, end];
        let numbers = bodies.map(|body| {
            let mut frame = frame(0, &body);
            channels.renumber(&mut frame);
            frame[7]
        });
        assert_eq!(numbers, [3, 3, 3, 9, 9, 9]);
        // Open and close belong to no session.
        let mut close = frame(0, &[0x00, 0x53, 0x18, 0x45]);
        channels.renumber(&mut close);
        assert_eq!(close[7], 7);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_come_later_but_not_one_after_the_other() {
        let (mut client, client_end) = tokio::io::duplex(1024);
        let (mut listener, listener_end) = tokio::io::duplex(1024);
        let latency = Duration::from_millis(5);
        let _passing = tokio::spawn(pass(client_end, listener_end, latency));
        let start = Instant::now();
        for _ in 0..3 {
            listener.write_all(&frame(0, &[])).await.unwrap();
        }
        let mut received = [0; 3 * FRAME_HEADER_BYTES];
        client.read_exact(&mut received).await.unwrap();
        // Timers count whole milliseconds.
        assert!((latency..latency * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn passes_frames_to_the_client_and_bytes_to_the_listener() {
        let (client, client_end) = tokio::io::duplex(1024);
        let (listener, listener_end) = tokio::io::duplex(1024);
        let passing = tokio::spawn(pass(client_end, listener_end, Duration::ZERO));
        let (mut client, mut listener) = (client, listener);
        listener.write_all(b"AMQP\0\x01\0\0").await.unwrap();
        listener.write_all(&frame(0, &[0x00, 0x53, 0x17, 0x45])).await.unwrap();
        // open [container id "", hostname null, max-frame-size 1 MiB]
        let open = frame(0, &[0x00, 0x53, 0x10, 0xc0, 9, 3, 0xa1, 0, 0x40, 0x70, 0, 16, 0, 0]);
        client.write_all(&[b"AMQP\0\x01\0\0", &open[..], b"any bytes"].concat()).await.unwrap();
        let mut received = vec![0; 8 + 8 + 20 + 9];
        listener.read_exact(&mut received).await.unwrap();
        let open = frame(0, &[0x00, 0x53, 0x10, 0xd0, 0, 0, 0, 12, 0, 0, 0, 3, 0xa1, 0, 0x40, 0x70, 0, 0, 0xff, 0xc0]);
        assert_eq!(received, [b"AMQP\0\x01\0\0", &open[..], b"any bytes"].concat());
        listener.shutdown().await.unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        let mut expected = b"AMQP\0\x01\0\0".to_vec();
        expected.extend(frame(0, &[0x00, 0x53, 0x17, 0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40]));
        assert_eq!(received, expected);
        passing.await.unwrap().unwrap();
    }
}
