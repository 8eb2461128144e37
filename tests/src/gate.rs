//! A gate in front of a port of loopback: open, it passes on what comes; shut,
//! all connections are cut and new ones are closed as soon as they come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A gate; it is gone when dropped.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    switch: watch::Sender<State>,
    cut: Arc<AtomicUsize>,
    _runtime: Runtime,
}

/// Whether it is open, and how often it was shut.
#[derive(Clone, Copy, Debug)]
struct State {
    is_open: bool,
    shuts: u64,
}

impl Gate {
    /// An open gate in front of a port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn before(port: u16) -> Gate {
        let runtime = Runtime::new().unwrap_or_else(|error| panic!("no runtime: {error}"));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let listener = listener.unwrap_or_else(|error| panic!("no port is free: {error}"));
        let own = listener.local_addr().map(|address| address.port());
        let own = own.unwrap_or_else(|error| panic!("a listener without address: {error}"));
        let (switch, state) = watch::channel(State { is_open: true, shuts: 0 });
        let cut = Arc::new(AtomicUsize::new(0));
        runtime.spawn(accept(listener, SocketAddr::from(([127, 0, 0, 1], port)), state, cut.clone()));
        Gate { port: own, switch, cut, _runtime: runtime }
    }

    /// The port where the gate is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections, and lets none through until it is opened.
    pub fn shut(&self) {
        self.switch.send_modify(|state| {
            state.is_open = false;
            state.shuts += 1;
        });
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.switch.send_modify(|state| state.is_open = true);
    }

    /// How many connections were cut or refused.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>, cut: Arc<AtomicUsize>) {
    // A listener that fails is seen by whoever connects.
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(client, target, state.clone(), cut.clone()));
    }
}

/// Passes on one connection until either side ends it or the gate is shut.
async fn pass(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>, cut: Arc<AtomicUsize>) {
    // A gate that is open again at once has been shut all the same.
    let shuts = state.borrow().shuts;
    let passing = async {
        let mut server = TcpStream::connect(target).await?;
        // Small frames must not wait for each other.
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        biased;
        _ = state.wait_for(|state| !state.is_open || state.shuts != shuts) => { cut.fetch_add(1, Ordering::SeqCst); }
        // How a connection ends is the business of its two ends.
        _ = passing => {}
    }
}
