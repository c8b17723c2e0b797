//! The simulated network: what the daemon needs of it, and what goes wrong with it.

use super::{Fate, PORT};
use crate::server::{Accept, Connection, Detached};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use turmoil::Sim;
use turmoil::net::{TcpListener, TcpStream};

type Accepting = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>>>>;

/// A listening socket.
pub(super) struct Port {
    listener: Rc<TcpListener>,
    accepting: Option<Accepting>,
}

impl Port {
    pub(super) async fn open(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        Ok(Self {
            listener: Rc::new(listener),
            accepting: None,
        })
    }
}

impl Accept for Port {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>> {
        let listener = self.listener.clone();
        let accepting = self
            .accepting
            .get_or_insert_with(|| Box::pin(async move { listener.accept().await }));
        let accepted = ready!(accepting.as_mut().poll(context));
        self.accepting = None;
        Poll::Ready(accepted.map(|(stream, peer)| (Box::new(stream) as Box<dyn Connection>, peer)))
    }

    /// Here the reactor knows of everything.
    fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
        let mut context = Context::from_waker(Waker::noop());
        match self.poll_accept(&mut context) {
            Poll::Ready(accepted) => accepted.ok(),
            Poll::Pending => None,
        }
    }
}

thread_local! {
    /// Clients that have left without a word: their last segment looks like the end of input, but the kernel knows
    /// better.
    static GONE: RefCell<HashSet<SocketAddr>> = RefCell::default();
}

/// The client at this address has left without a word.
pub(super) fn vanish(client: SocketAddr) {
    GONE.with_borrow_mut(|gone| gone.insert(client));
}

impl Connection for TcpStream {
    fn is_gone(&self) -> bool {
        let client = self.peer_addr().expect("a simulated connection keeps its ends");
        GONE.with_borrow(|gone| gone.contains(&client))
    }

    /// Here the reactor knows of everything.
    fn has_input(&self) -> bool {
        false
    }

    fn try_write(&self, bytes: &[u8]) {
        let _ = Self::try_write(self, bytes);
    }

    fn detach(self: Box<Self>) -> io::Result<Detached> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What happens to the links and to the daemon while its clients talk.
pub(super) struct Troubles {
    random: fastrand::Rng,
    clients: Vec<String>,
    /// A link that stands still or is torn, and for how many steps more.
    trouble: Option<(usize, bool, u32)>,
    /// How likely a link tears rather than stands still, in a hundred.
    tears: u32,
    /// After how many steps the daemon drains or crashes, if it does.
    end: Option<(u32, bool)>,
}

impl Troubles {
    pub(super) fn new(mut random: fastrand::Rng, clients: Vec<String>) -> Self {
        GONE.take();
        let end = (random.u32(..3) == 0).then(|| (random.u32(..4_000), random.bool()));
        let tears = [0, 0, 30][random.usize(..3)];
        Self {
            random,
            clients,
            trouble: None,
            tears,
            end,
        }
    }

    /// Passes one step of the simulation.
    pub(super) fn pass(&mut self, simulation: &mut Sim<'_>, fate: &Fate) {
        self.pass_end(simulation, fate);
        match &mut self.trouble {
            Some((_, _, 0)) => self.end(simulation),
            Some((_, _, left)) => *left -= 1,
            None if self.random.u32(..1_000) == 0 => {
                let index = self.random.usize(..self.clients.len());
                let tears = self.random.u32(..100) < self.tears;
                let client = self.clients[index].as_str();
                if tears {
                    fate.is_torn.set(true);
                    simulation.partition("daemon", client);
                } else {
                    simulation.hold("daemon", client);
                }
                fate.note("network", format_args!("{client} tears: {tears}"));
                self.trouble = Some((index, tears, self.random.u32(1..2_000)));
            }
            None => {}
        }
    }

    fn pass_end(&mut self, simulation: &mut Sim<'_>, fate: &Fate) {
        match &mut self.end {
            Some((0, drains)) => {
                fate.is_ending.set(true);
                fate.note("network", format_args!("the daemon ends; drains: {drains}"));
                if *drains {
                    fate.drain.notify_one();
                } else {
                    simulation.crash("daemon");
                    simulation.bounce("daemon");
                }
                self.end = None;
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
    }

    /// Mends what is broken.
    pub(super) fn end(&mut self, simulation: &mut Sim<'_>) {
        if let Some((index, tears, _)) = self.trouble.take() {
            let client = self.clients[index].as_str();
            match tears {
                true => simulation.repair("daemon", client),
                false => simulation.release("daemon", client),
            }
        }
    }
}

/// A connection to the daemon.
pub(super) async fn connect() -> io::Result<TcpStream> {
    TcpStream::connect(("daemon", PORT)).await
}
