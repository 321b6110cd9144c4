fn main() {
    redraft_build::pack();
}
