//! What a node returns, and how it becomes what its sockets carry.

use std::future::Future;
use std::pin::Pin;

use crate::feed::Feed;
use crate::graph::Graph;
use crate::io::{Emit, Socket, output_of};

/// What a node returns: one wire type, a tuple of them, nothing, or a struct with `#[derive(Outputs)]`; wrapped in
/// [`Expand`](crate::flow::Expand) by nodes that put further nodes in their place, in [`Later`](crate::flow::Later) by
/// nodes that wait.
pub trait Outputs: Sized {
    /// Whether the node may have to be waited for.
    const LATER: bool = false;

    fn declare() -> Vec<crate::schema::Output>;

    fn into_returned(self) -> Returned;
}

/// What one call of a node ended in.
pub enum Returned {
    /// A socket for each output.
    Values(Vec<Socket>),
    Expanded(Graph, Vec<Feed>),
    Later(Pending),
}

/// A call that is not done.
pub type Pending = Pin<Box<dyn Future<Output = anyhow::Result<Returned>>>>;

macro_rules! tuple_outputs {
    ($($name:ident)*) => {
        #[allow(non_snake_case)]
        impl<$($name: Emit),*> Outputs for ($($name,)*) {
            fn declare() -> Vec<crate::schema::Output> {
                vec![$(output_of::<$name>(None, "")),*]
            }

            fn into_returned(self) -> Returned {
                let ($($name,)*) = self;
                Returned::Values(vec![$($name.into_socket()),*])
            }
        }
    };
}
tuple_outputs!();
tuple_outputs!(A);
tuple_outputs!(A B);
tuple_outputs!(A B C);
tuple_outputs!(A B C D);
tuple_outputs!(A B C D E);
tuple_outputs!(A B C D E F);

impl<T: Emit> Outputs for T {
    fn declare() -> Vec<crate::schema::Output> {
        vec![output_of::<T>(None, "")]
    }

    fn into_returned(self) -> Returned {
        Returned::Values(vec![self.into_socket()])
    }
}
