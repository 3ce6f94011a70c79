//! llb's word to finish up, for callbacks and futures. No runtime is needed.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Whether llb has said so, and the callbacks and futures that wait for it.
#[derive(Default)]
pub(super) struct Disconnect(Mutex<State>);

#[derive(Default)]
struct State {
    said: bool,
    callbacks: Vec<Box<dyn FnOnce() + Send>>,
    wakers: HashMap<u64, Waker>,
    next: u64,
}

impl Disconnect {
    pub(super) fn request(&self) {
        let mut state = self.lock();
        state.said = true;
        let (callbacks, wakers) = (std::mem::take(&mut state.callbacks), std::mem::take(&mut state.wakers));
        // They may well ask again.
        drop(state);
        callbacks.into_iter().for_each(|callback| callback());
        wakers.into_values().for_each(Waker::wake);
    }

    pub(super) fn call(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.said {
            drop(state);
            callback();
        } else {
            state.callbacks.push(Box::new(callback));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here is half done when a callback panics: none is called under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnect").field("said", &self.lock().said).finish_non_exhaustive()
    }
}

/// Ends when llb says that this worker is to finish up; never, without llb. Made by
/// [`Reporter::disconnected`](super::Reporter::disconnected), which has an example.
#[derive(Debug)]
pub struct Disconnected {
    disconnect: Option<&'static Disconnect>,
    id: Option<u64>,
}

impl Disconnected {
    pub(super) fn new(disconnect: Option<&'static Disconnect>) -> Self {
        Disconnected { disconnect, id: None }
    }
}

impl Future for Disconnected {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(disconnect) = self.disconnect else { return Poll::Pending };
        let mut state = disconnect.lock();
        if state.said {
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state.wakers.insert(id, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Disconnected {
    fn drop(&mut self) {
        if let (Some(disconnect), Some(id)) = (self.disconnect, self.id) {
            disconnect.lock().wakers.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn whoever_waits_hears_of_it_and_whoever_comes_later_too() {
        let disconnect: &'static Disconnect = Box::leak(Box::default());
        let (called, woken) = (Arc::new(AtomicU32::new(0)), Arc::new(Count::default()));
        let count = |called: &Arc<AtomicU32>| {
            let called = called.clone();
            move || {
                called.fetch_add(1, Relaxed);
            }
        };
        disconnect.call(count(&called));
        let waker = woken.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(Disconnected::new(Some(disconnect)));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(future.as_mut().poll(&mut context).is_pending());
        {
            let given_up = pin!(Disconnected::new(Some(disconnect)));
            assert!(given_up.poll(&mut context).is_pending());
        }
        assert_eq!((called.load(Relaxed), disconnect.lock().wakers.len()), (0, 1));
        disconnect.request();
        assert_eq!((called.load(Relaxed), woken.0.load(Relaxed)), (1, 1));
        assert!(future.as_mut().poll(&mut context).is_ready());
        disconnect.call(count(&called));
        assert_eq!(called.load(Relaxed), 2);
    }
}
