use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;

/// Shows texts, and passes them on.
#[derive(Node)]
#[node(
    class = "ShowText|pysssss",
    category = "utils",
    display = "Show Text 🐍",
    output,
    hidden("unique_id", "extra_pnginfo")
)]
struct ShowText {
    #[input(force_input)]
    text: List<String>,
}

impl Run for ShowText {
    type Out = List<String>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<List<String>> {
        self.text.0.iter().for_each(|text| cx.ui("text", text.clone()));
        Ok(self.text)
    }
}
