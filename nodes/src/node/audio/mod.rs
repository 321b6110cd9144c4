mod arithmetic;
mod empty_audio;
mod load_audio;
mod parts;
mod save_audio;
