//! The virtio side: one queue, on which the driver puts a request and room for the response as two chains.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_simulated::SimulatedNsm;
use vhost::vhost_user::VhostUserProtocolFeatures;
use vhost_user_backend::{VhostUserBackend, VringEpollHandler, VringMutex, VringT};
use virtio_queue::{DescriptorChain, QueueOwnedT};
use vm_memory::{Bytes, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::timerfd::TimerFd;

use crate::answer::answer;

/// `VIRTIO_F_VERSION_1` and `VHOST_USER_F_PROTOCOL_FEATURES`.
const FEATURES: u64 = (1 << 32) | (1 << 30);
const QUEUE_SIZE_MAX: usize = 64;
/// Longest request and response: those of the driver.
const MESSAGE_BYTES_MAX: usize = 0x3000;
/// The driver asks for randomness before it is ready, and that kick is lost: the queue is looked at without one, too.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The number of the timer's events: the queue has 0, and 1 ends the thread.
const TICK: u16 = 2;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;
type Chain = DescriptorChain<GuestMemoryLoadGuard<GuestMemoryMmap>>;

/// The device. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NsmDevice(Arc<Inner>);

struct Inner {
    nsm: SimulatedNsm,
    timer: Mutex<TimerFd>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    memory: Option<Memory>,
    /// A request whose room for the response has not come yet, with its chain.
    waiting: Option<(u16, Vec<u8>)>,
}

impl NsmDevice {
    pub(crate) fn new(nsm: SimulatedNsm) -> io::Result<Self> {
        let mut timer = TimerFd::new()?;
        timer.reset(LOOK_EVERY, Some(LOOK_EVERY))?;
        Ok(Self(Arc::new(Inner { nsm, timer: Mutex::new(timer), state: Mutex::default() })))
    }

    /// Has the timer's events come to the device.
    pub(crate) fn tick_on(&self, handler: &VringEpollHandler<Self>) -> io::Result<()> {
        let timer = self.0.timer.lock().unwrap_or_else(PoisonError::into_inner);
        handler.register_listener(timer.as_raw_fd(), EventSet::IN, u64::from(TICK))
    }

    fn look(&self, vring: &VringMutex) -> io::Result<()> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = state.memory.clone() else { return Ok(()) };
        let mut done = Vec::new();
        {
            let mut ring = vring.get_mut();
            let chains = ring.get_queue_mut().iter(memory.memory()).map_err(io::Error::other)?;
            for chain in chains {
                done.extend(self.take(&mut state, chain)?);
            }
        }
        for (head, len) in &done {
            vring.add_used(*head, *len).map_err(io::Error::other)?;
        }
        if done.is_empty() { Ok(()) } else { vring.signal_used_queue() }
    }

    /// Takes one chain; gives those that are done with by it, in order.
    fn take(&self, state: &mut State, chain: Chain) -> io::Result<Vec<(u16, u32)>> {
        let head = chain.head_index();
        let memory = chain.memory().clone();
        let parts: Vec<_> = chain.collect();
        let is_room = parts.iter().all(virtio_queue::desc::split::Descriptor::is_write_only);
        if !is_room {
            let mut request = Vec::new();
            for part in parts.iter().filter(|part| !part.is_write_only()) {
                let mut bytes = vec![0; usize::try_from(part.len()).unwrap_or(usize::MAX).min(MESSAGE_BYTES_MAX)];
                memory.read_slice(&mut bytes, part.addr()).map_err(io::Error::other)?;
                request.extend(bytes);
            }
            state.waiting = Some((head, request));
            return Ok(Vec::new());
        }
        let Some((asked, request)) = state.waiting.take() else { return Ok(vec![(head, 0)]) };
        let response = answer(&self.0.nsm, &request);
        let mut rest = response.as_slice();
        for part in &parts {
            let (now, later) = rest.split_at(rest.len().min(usize::try_from(part.len()).unwrap_or(usize::MAX)));
            memory.write_slice(now, part.addr()).map_err(io::Error::other)?;
            rest = later;
        }
        let written = u32::try_from(response.len() - rest.len()).unwrap_or(u32::MAX);
        Ok(vec![(asked, 0), (head, written)])
    }
}

impl VhostUserBackend for NsmDevice {
    type Bitmap = ();
    type Vring = VringMutex;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE_MAX
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::empty()
    }

    fn set_event_idx(&self, _: bool) {}

    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).memory = Some(memory);
        Ok(())
    }

    fn handle_event(&self, event: u16, _: EventSet, vrings: &[VringMutex], _: usize) -> io::Result<()> {
        if event == TICK {
            self.0.timer.lock().unwrap_or_else(PoisonError::into_inner).wait()?;
        }
        vrings.iter().try_for_each(|vring| self.look(vring))
    }
}
