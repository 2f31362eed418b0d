//! A thread that does nothing but read a socket and say when: it runs before all others, so that what else the
//! computer does is not in the stamps.
//!
//! What it has read waits in a bounded queue for the thread that decides; what does not fit is counted and dropped.

use std::io;
use std::os::windows::io::AsRawSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use socket2::Socket;
use windows_sys::Win32::Networking::WinSock::{FD_READ, SOCKET, WSAEventSelect};

use super::event::{Event, first_of};
use crate::clock::platform::raw_clock;
use crate::clock::windows::priority;
use crate::net::is_nothing;
use crate::time::{Raw, Timestamp};

/// Datagrams that wait: a second of the busiest Dante network, sifted.
const QUEUE: usize = 256;
/// Datagrams that are read before it is looked whether the end has come.
const BATCH: usize = 1024;
/// Datagrams that can be read; the only thing that a listener waits for.
const WANTED: i32 = FD_READ.cast_signed();
/// It keeps one buffer on the heap.
const STACK: usize = 128 * 1024;

/// What both threads see.
#[derive(Debug)]
pub struct Waiting {
    /// Set as long as something waits, or may.
    ready: Event,
    count: AtomicI64,
    overrun: AtomicU64,
}

impl Waiting {
    /// Nothing waits.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ready: Event::lasting()?, count: AtomicI64::new(0), overrun: AtomicU64::new(0) })
    }

    /// The number of the event that tells that something waits.
    pub fn number(&self) -> i32 {
        self.ready.number()
    }

    /// What was lost because the queue was full.
    pub fn overrun(&self) -> u64 {
        self.overrun.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.ready.set();
    }

    /// One less. What is added between this and the reset is seen when it looks again.
    fn remove(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) <= 1 {
            self.look_again();
        }
    }

    fn look_again(&self) {
        self.ready.reset();
        if self.count.load(Ordering::SeqCst) > 0 {
            self.ready.set();
        }
    }
}

/// The reading end, and the life, of the thread.
#[derive(Debug)]
pub struct Arrivals<T> {
    queue: Receiver<io::Result<T>>,
    waiting: Arc<Waiting>,
    stop: Arc<Event>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Arrivals<T> {
    /// Starts to read `socket`. `read` reads one datagram without waiting; it is given the time when the thread was
    /// woken for it, where it was, and says `None` of what is not wanted.
    ///
    /// # Errors
    /// When there is no thread or no event to be had.
    pub fn start(
        socket: Arc<Socket>,
        waiting: Arc<Waiting>,
        read: impl FnMut(Option<Timestamp<Raw>>) -> io::Result<Option<T>> + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(Event::lasting()?);
        let readable = Event::passing()?;
        select(&socket, &readable)?;
        let (outbox, queue) = sync_channel(QUEUE);
        let reader =
            Reader { socket, readable, stop: Arc::clone(&stop), waiting: Arc::clone(&waiting), outbox };
        let thread = thread::Builder::new().name("arrivals".to_owned()).stack_size(STACK);
        let thread = thread.spawn(move || reader.run(read))?;
        Ok(Self { queue, waiting, stop, thread: Some(thread) })
    }
}

impl<T> Arrivals<T> {
    /// The next one that waits, or `WouldBlock`.
    ///
    /// # Errors
    /// Those of the socket, each once.
    pub fn next(&self) -> io::Result<T> {
        match self.queue.try_recv() {
            Ok(next) => {
                self.waiting.remove();
                next
            }
            Err(TryRecvError::Empty) => {
                self.waiting.look_again();
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the thread that reads has ended")),
        }
    }
}

impl<T> Drop for Arrivals<T> {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Reader<T> {
    socket: Arc<Socket>,
    readable: Event,
    stop: Arc<Event>,
    waiting: Arc<Waiting>,
    outbox: SyncSender<io::Result<T>>,
}

impl<T> Reader<T> {
    fn run(self, mut read: impl FnMut(Option<Timestamp<Raw>>) -> io::Result<Option<T>>) {
        priority::run_first();
        while first_of([&self.stop, &self.readable]).is_ok_and(|stop| !stop) {
            let mut woken = Some(raw_clock());
            for _ in 0..BATCH {
                match read(woken.take()) {
                    Ok(Some(datagram)) => self.hand_over(Ok(datagram)),
                    Ok(None) => {}
                    Err(error) if is_nothing(&error) => break,
                    Err(error) => self.hand_over(Err(error)),
                }
            }
            // By its documentation only other calls than the one that reads here let the next datagram wake again. To
            // ask anew does in any case, and wakes at once where one has come meanwhile.
            if let Err(error) = select(&self.socket, &self.readable) {
                self.hand_over(Err(error));
            }
        }
        // The socket may live on without this thread.
        let _ = deselect(&self.socket);
    }

    fn hand_over(&self, datagram: io::Result<T>) {
        match self.outbox.try_send(datagram) {
            Ok(()) => self.waiting.add(),
            Err(TrySendError::Full(_)) => drop(self.waiting.overrun.fetch_add(1, Ordering::Relaxed)),
            // The other end is about to say stop.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Winsock's name of a socket.
pub fn raw_socket(socket: &Socket) -> SOCKET {
    // Both are the same word.
    usize::try_from(socket.as_raw_socket()).unwrap_or(usize::MAX)
}

/// Lets `readable` be set when something can be read. From then on the socket does not block.
fn select(socket: &Socket, readable: &Event) -> io::Result<()> {
    let event = readable.handle().addr().cast_signed();
    // SAFETY: socket and event are open.
    let result = unsafe { WSAEventSelect(raw_socket(socket), event, WANTED) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn deselect(socket: &Socket) -> io::Result<()> {
    // SAFETY: the socket is open; no event is asked for.
    let result = unsafe { WSAEventSelect(raw_socket(socket), 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
