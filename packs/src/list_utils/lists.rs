use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{List, Wildcard};
use redraft_engine::node::Run;

use super::py_list::{Members, PyList};

/// Makes one value of a list, for which the nodes behind it run once.
#[derive(Node)]
#[node(class = "GODMT_ListToBatch", category = "list_utils", display = "List To Batch")]
struct ListToBatch {
    #[input(name = "ANY", force_input)]
    any: List<Wildcard>,
}

impl Run for ListToBatch {
    type Out = PyList;

    fn run(self, _: &mut Cx) -> anyhow::Result<PyList> {
        Ok(PyList(self.any.0.into_iter().map(|value| value.0).collect()))
    }
}

/// Makes a list of one value that holds several, for which the nodes behind it run one by one.
#[derive(Node)]
#[node(class = "GODMT_BatchToList", category = "list_utils", display = "Batch To List")]
struct BatchToList {
    #[input(name = "LIST", force_input)]
    list: Members,
}

impl Run for BatchToList {
    type Out = List<Wildcard>;

    fn run(self, _: &mut Cx) -> anyhow::Result<List<Wildcard>> {
        Ok(List(self.list.0.into_iter().map(Wildcard).collect()))
    }
}
