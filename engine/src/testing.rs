//! What a test of one node needs.

use std::path::Path;

use crate::cx::{Cancel, Cx, Kept, Metadata, Reports, RunningGraph, Services, Shown};
use crate::event::Event;
use crate::feed::GraphNode;
use crate::folders::FolderPaths;
use crate::key::Key;
use crate::node::Run;
use crate::prompt::NodeId;

/// The world around a node that is called by itself. Made by [`Cx::for_test`].
///
/// ```ignore
/// let image = Cx::for_test().run(ImageInvert { image })?;
/// ```
pub struct TestCx {
    pub node: NodeId,
    pub folders: FolderPaths,
    pub services: Services,
    pub metadata: Metadata,
    pub cancel: Cancel,
    /// What happened.
    pub events: Vec<Event>,
    /// What was shown, and the files that were written.
    pub shown: Shown,
    kept: Kept,
}

impl Cx<'_> {
    /// A world with nothing in it: no folder exists, and there is no service.
    pub fn for_test() -> TestCx {
        TestCx {
            node: NodeId::from("test"),
            folders: FolderPaths::below(Path::new("no such folder")),
            services: Services::default(),
            metadata: Metadata::default(),
            cancel: Cancel::default(),
            events: Vec::new(),
            shown: Shown::default(),
            kept: Kept::default(),
        }
    }
}

struct NoGraph;

impl RunningGraph for NoGraph {
    fn node(&self, _: &NodeId) -> Option<GraphNode> {
        None
    }
}

impl TestCx {
    /// The same with ComfyUI's folders below a directory.
    pub fn below(self, base: &Path) -> Self {
        Self { folders: FolderPaths::below(base), ..self }
    }

    /// Calls a node once.
    ///
    /// # Errors
    /// Those of the node.
    pub fn run<N: Run>(&mut self, node: N) -> anyhow::Result<N::Out> {
        let class = N::schema().class;
        let reports = Reports::default();
        let mut cx = Cx {
            node: &self.node,
            folders: &self.folders,
            metadata: &self.metadata,
            class: &class,
            key: Key::default(),
            services: &self.services,
            cancel: &self.cancel,
            observer: &mut self.events,
            graph: &NoGraph,
            kept: &self.kept,
            reports: &reports,
            call: 0,
            graphs: 0,
            shown: Shown::default(),
        };
        let result = node.run(&mut cx);
        self.shown = cx.shown;
        result
    }
}
