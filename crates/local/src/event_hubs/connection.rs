//! One client's connection: its sessions and links, and who serves each link.
//!
//! ```text
//! connection -> session -> link -- $cbs, $management --> requests, cbs, management
//!                              \-- client sends -------> sending
//!                               \- client receives ----> receiving
//! ```

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SaslAnonymousMechanism, SessionAcceptor,
    SupportedReceiverSettleModes,
};
use fe2o3_amqp::types::definitions::{AmqpError, Error, ErrorCondition, Fields, LinkError, ReceiverSettleMode, Role};
use fe2o3_amqp::types::messaging::{FilterSet, TargetArchetype};
use fe2o3_amqp::types::performatives::Attach;
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Receiver, Sender};
use hub_client::StartPosition;
use tokio::net::TcpStream;

use super::access::Right;
use super::address::Address;
use super::faults::Faults;
use super::permit::Permit;
use super::receivers::{Receivers, Refused, Seat};
use super::receiving::Receiving;
use super::requests::{self, AnsweringLinks};
use super::sending::Sending;
use super::store::{Hub, Store};
use super::tokens::{SharedAccessKeys, Tokens, is_good};
use super::{cbs, frames, management};

/// What the standard tier announces.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;
/// What every client asks for as its largest frame.
const FRAME_BYTES_MAX: u32 = 65_536;
/// Links of one session. Written out, because the Python client fails when it
/// is left to its default.
const HANDLE_MAX: u32 = 1023;
/// How much of the engine's output may wait for the padding and the socket.
const PIPE_BYTES: usize = 256 * 1024;
/// How long a client has to confirm that a link was closed.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

const CBS: &str = "$cbs";
const MANAGEMENT: &str = "$management";
const EPOCH: &str = "com.microsoft:epoch";
const RUNTIME_METRICS: &str = "com.microsoft:enable-receiver-runtime-metric";

/// What all connections share.
#[derive(Debug)]
pub struct Broker {
    /// The hubs.
    pub store: Arc<Store>,
    /// Who receives.
    pub receivers: Arc<Receivers>,
    /// See [`super::Config::latency`].
    pub latency: Duration,
    /// What opens all hubs.
    pub keys: SharedAccessKeys,
    /// What goes wrong on command.
    pub faults: Faults,
}

/// Serves one client until it or the socket ends.
pub async fn serve(socket: TcpStream, broker: Arc<Broker>) {
    let (engine, pipe) = tokio::io::duplex(PIPE_BYTES);
    let acceptor = ConnectionAcceptor::builder()
        .container_id("event-hubs-stand-in")
        .max_frame_size(FRAME_BYTES_MAX)
        // Without an idle timeout: the library's listener announces all of it, not
        // half, so that a client's frame comes as it ends and idle clients are cut off.
        .sasl_acceptor(SaslAnonymousMechanism {})
        .build();
    let sessions = async {
        let mut connection = match acceptor.accept(engine).await {
            Ok(connection) => connection,
            Err(error) => return tracing::debug!(%error, "A client did not get as far as a connection"),
        };
        let acceptor = SessionAcceptor::builder().handle_max(HANDLE_MAX).build();
        let tokens = Arc::new(Tokens::default());
        while let Ok(session) = acceptor.accept(&mut connection).await {
            tokio::spawn(serve_session(session, broker.clone(), tokens.clone()));
        }
    };
    // The links end with the engine, which ends when the pipe does.
    let ((), passed) = tokio::join!(sessions, frames::pass(socket, pipe, broker.latency));
    if let Err(error) = passed {
        tracing::debug!(%error, "A connection broke off");
    }
}

async fn serve_session(mut session: ListenerSessionHandle, broker: Arc<Broker>, tokens: Arc<Tokens>) {
    let answering = Arc::new(AnsweringLinks::default());
    while let Some(attach) = session.next_incoming_attach().await {
        let plan = plan(&attach, &broker, &tokens);
        let metrics = matches!(&plan, Ok(Plan::Receive(receiving)) if receiving.runtime_metrics);
        let attached = match &plan {
            Ok(_) => accept(attach, &mut session, metrics).await,
            Err(_) => accept(with_null_target(attach), &mut session, false).await,
        };
        let link = match attached {
            Ok(link) => link,
            Err(error) => {
                tracing::debug!(%error, "A link could not be attached");
                continue;
            }
        };
        tokio::spawn(serve_link(link, plan, answering.clone(), broker.clone(), tokens.clone()));
    }
}

async fn accept(
    attach: Attach,
    session: &mut ListenerSessionHandle,
    runtime_metrics: bool,
) -> Result<LinkEndpoint, fe2o3_amqp::acceptor::error::AcceptorAttachError> {
    let mut acceptor = LinkAcceptor::builder()
        .max_message_size(MESSAGE_BYTES_MAX)
        // The Python client asks for `second`, but never settles what it gets
        // an answer to in that mode, and waits for ever.
        .supported_receiver_settle_modes(SupportedReceiverSettleModes::First)
        .fallback_receiver_settle_mode(ReceiverSettleMode::First);
    if runtime_metrics {
        acceptor = acceptor.add_offered_capabilities(RUNTIME_METRICS);
    }
    acceptor.build().accept_incoming_attach(attach, session).await
}

/// A sender is refused by an attach with a null target and then a detach that
/// says why (AMQP 1.0, 2.6.3), so that it does not begin to send: the Rust
/// client waits for ever for the settlement of a message whose link is closed.
/// The library writes a null target in answer to a dynamic one, which nobody
/// here makes. A receiver keeps its source in the answer: fe2o3-amqp 0.18 as a
/// client loses the reason when a null source and the detach come together.
fn with_null_target(mut attach: Attach) -> Attach {
    if let (Role::Sender, Some(TargetArchetype::Target(target))) = (&attach.role, attach.target.as_deref_mut()) {
        target.dynamic = true;
    }
    attach
}

/// What a link is for.
enum Plan {
    TakeTokens,
    TakeManagementRequests,
    /// Send a node's answers to requests that name the link by its target or
    /// its name, or not at all.
    Answer {
        node: &'static str,
        target: String,
        name: String,
    },
    Send(Sending),
    Receive(Receiving),
}

/// Decides what a link is for, or why it is refused.
fn plan(attach: &Attach, broker: &Broker, tokens: &Arc<Tokens>) -> Result<Plan, Error> {
    let target = match attach.target.as_deref() {
        Some(TargetArchetype::Target(target)) => target.address.as_deref(),
        _ => None,
    };
    let source = attach.source.as_deref().and_then(|source| source.address.as_deref());
    // The role is the client's: a client's sender has its node as target.
    let (text, is_sender) = match attach.role {
        Role::Sender => (target, true),
        Role::Receiver => (source, false),
    };
    let text = text.unwrap_or_default();
    let unknown = || not_found(format!("there is no node `{text}`"));
    match (Address::parse(text).ok_or_else(unknown)?, is_sender) {
        (Address::Cbs, true) => Ok(Plan::TakeTokens),
        (Address::Management, true) => Ok(Plan::TakeManagementRequests),
        (node @ (Address::Cbs | Address::Management), false) => Ok(Plan::Answer {
            node: if node == Address::Cbs { CBS } else { MANAGEMENT },
            target: target.unwrap_or_default().to_owned(),
            name: attach.name.clone(),
        }),
        (Address::Hub { hub, partition }, true) => {
            let permit = permit(broker, tokens, (hub, None, partition))?;
            plan_sending(broker, permit, partition).map(Plan::Send)
        }
        (Address::ConsumerGroup { hub, group, partition }, false) => {
            let permit = permit(broker, tokens, (hub, Some(group), Some(partition)))?;
            plan_receiving(broker, attach, (hub, group, partition), permit).map(Plan::Receive)
        }
        _ => Err(unknown()),
    }
}

/// What a token has to cover.
fn entity(hub: &str, group: Option<&str>, partition: Option<&str>) -> String {
    let mut entity = hub.to_owned();
    for (word, name) in [("ConsumerGroups", group), ("Partitions", partition)] {
        if let Some(name) = name {
            entity.extend(["/", word, "/", name]);
        }
    }
    entity
}

/// The right to send to a hub, or to receive from one of its groups.
fn permit(
    broker: &Broker,
    tokens: &Arc<Tokens>,
    (name, group, partition): (&str, Option<&str>, Option<&str>),
) -> Result<Permit, Error> {
    let entity = entity(name, group, partition);
    let right = if group.is_some() { Right::Listen } else { Right::Send };
    let Some(hub) = broker.store.hub(name) else {
        // Whoever has shown nothing learns nothing, where something is wanted.
        return Err(match tokens.cover(broker.keys.wanted(None).as_ref(), &entity, Some(right)) {
            true => not_found(format!("there is no hub `{name}`")),
            false => error(AmqpError::UnauthorizedAccess, format!("no token for `{entity}` was shown")),
        });
    };
    let (keys, tokens, group) = (broker.keys.clone(), tokens.clone(), group.map(str::to_owned));
    let permit = Permit { keys, tokens, hub, group, entity, right };
    permit.check().map(|_| permit)
}

fn plan_sending(broker: &Broker, permit: Permit, partition: Option<&str>) -> Result<Sending, Error> {
    let hub: &Hub = &permit.hub;
    let partition = match partition {
        Some(id) => {
            let found = hub.partition(id).cloned();
            Some(found.ok_or_else(|| not_found(format!("hub `{}` has no partition `{id}`", hub.name)))?)
        }
        None => None,
    };
    Ok(Sending { permit, partition, faults: broker.faults.clone() })
}

fn plan_receiving(
    broker: &Broker,
    attach: &Attach,
    (hub, group, id): (&str, &str, &str),
    permit: Permit,
) -> Result<Receiving, Error> {
    if let Some(busy) = broker.faults.busy() {
        return Err(busy);
    }
    let no_partition = || not_found(format!("hub `{hub}` has no partition `{id}`"));
    let partition = permit.hub.partition(id).ok_or_else(no_partition)?.clone();
    let position = start_position(attach)?;
    let place = broker.receivers.enter(Seat::new(hub, group, id), epoch(attach)).map_err(|refused| {
        let condition: ErrorCondition = match refused {
            Refused::Epoch { .. } => LinkError::Stolen.into(),
            Refused::Full => AmqpError::ResourceLimitExceeded.into(),
        };
        error(condition, refused.to_string())
    })?;
    let wanted = attach.desired_capabilities.as_ref();
    let runtime_metrics = wanted.is_some_and(|wanted| wanted.0.iter().any(|name| name.as_str() == RUNTIME_METRICS));
    let faults = broker.faults.clone();
    Ok(Receiving { reader: partition.read_from(&position), partition, place, runtime_metrics, permit, faults })
}

/// The start position in the filters of the source. Without one a receiver
/// starts at the first event.
fn start_position(attach: &Attach) -> Result<StartPosition, Error> {
    let filters = attach.source.as_deref().and_then(|source| source.filter.as_ref());
    let Some(expression) = filters.and_then(selector) else { return Ok(StartPosition::Earliest) };
    StartPosition::parse(expression)
        .map_err(|invalid| error(custom("com.microsoft:argument-error"), invalid.to_string()))
}

/// Clients differ in the descriptor of the filter, which adds nothing to its key.
fn selector(filters: &FilterSet) -> Option<&str> {
    let value = filters.get(&Symbol::from("apache.org:selector-filter:string"))?;
    let value = match value {
        Value::Described(described) => &described.value,
        value => value,
    };
    match value {
        Value::String(expression) => Some(expression),
        Value::Symbol(expression) => Some(expression.as_str()),
        _ => None,
    }
}

fn epoch(attach: &Attach) -> Option<i64> {
    match *attach.properties.as_ref()?.get(&Symbol::from(EPOCH))? {
        Value::Long(epoch) => Some(epoch),
        Value::Int(epoch) => Some(epoch.into()),
        Value::Uint(epoch) => Some(epoch.into()),
        Value::Ulong(epoch) => i64::try_from(epoch).ok(),
        _ => None,
    }
}

async fn serve_link(
    link: LinkEndpoint,
    plan: Result<Plan, Error>,
    answering: Arc<AnsweringLinks>,
    broker: Arc<Broker>,
    tokens: Arc<Tokens>,
) {
    match (link, plan) {
        (LinkEndpoint::Receiver(link), Ok(Plan::TakeTokens)) => {
            let opens = (&broker.keys, &*broker.store);
            requests::serve(CBS, link, &answering, |request| cbs::answer(request, opens, &tokens)).await;
        }
        (LinkEndpoint::Receiver(link), Ok(Plan::TakeManagementRequests)) => {
            requests::serve(MANAGEMENT, link, &answering, |request| {
                management::answer(&broker.store, request, |name, token| {
                    let hub = broker.store.hub(name);
                    let wanted = broker.keys.wanted(hub.as_ref().map(|hub| hub.access()).as_deref());
                    // The client for JavaScript asks for a token of just this.
                    let entity = format!("{name}/{MANAGEMENT}");
                    tokens.cover(wanted.as_ref(), &entity, None)
                        || token.is_some_and(|token| is_good(wanted.as_ref(), token, &entity))
                })
            })
            .await;
        }
        (LinkEndpoint::Sender(link), Ok(Plan::Answer { node, target, name })) => {
            requests::send_answers(link, answering.attach(node, [&target, &name])).await;
        }
        (LinkEndpoint::Receiver(link), Ok(Plan::Send(sending))) => sending.serve(link).await,
        (LinkEndpoint::Sender(link), Ok(Plan::Receive(receiving))) => receiving.serve(link).await,
        (LinkEndpoint::Receiver(link), Err(error)) => close_receiver(link, error).await,
        (LinkEndpoint::Sender(link), Err(error)) => close_sender(link, error).await,
        // The role of the attach decides both sides of the pair.
        (LinkEndpoint::Receiver(link), Ok(_)) => close_receiver(link, internal_error()).await,
        (LinkEndpoint::Sender(link), Ok(_)) => close_sender(link, internal_error()).await,
    }
}

/// Closes the link on which a client sends. It may have ended already.
pub async fn close_receiver(link: Receiver, error: Error) {
    let _ = tokio::time::timeout(CLOSE_WAIT, link.close_with_error(error)).await;
}

/// Closes the link on which a client receives. It may have ended already.
pub async fn close_sender(link: Sender, error: Error) {
    let _ = tokio::time::timeout(CLOSE_WAIT, link.close_with_error(error)).await;
}

/// An AMQP error with all its fields; the Python client reads them by position.
pub fn error(condition: impl Into<ErrorCondition>, description: impl Into<String>) -> Error {
    Error::new(condition, Some(description.into()), Some(Fields::default()))
}

/// Something here did not work.
pub fn internal_error() -> Error {
    error(AmqpError::InternalError, "the stand-in could not do it; its log says why")
}

fn not_found(description: String) -> Error {
    error(AmqpError::NotFound, description)
}

/// A condition that AMQP does not know.
pub fn custom(condition: &str) -> ErrorCondition {
    ErrorCondition::Custom(Symbol::from(condition))
}
