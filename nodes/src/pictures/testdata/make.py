"""Makes the small pictures in this folder with Pillow, and expected.txt: what ComfyUI's LoadImage reads from them.

python make.py (Pillow 13.0, numpy, opencv-python-headless, imagecodecs; avifenc of libavif-bin). A row: file, frames, height, width, FNV-1a of the RGB bytes,
FNV-1a of the alpha bytes or "-" where LoadImage sees no alpha, FNV-1a of the alpha that LoadImageMask sees.
"""
import struct, subprocess, zlib
import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageSequence

W, H = 13, 9
y, x = np.mgrid[0:H, 0:W]
colours = np.stack([(x * 19 + y * 3) % 256, 255 - (x * y * 2) % 256, (y * 27 + x) % 256], -1).astype(np.uint8)
colours[3:6, 4:8] = [250, 20, 30]
rgb = Image.fromarray(colours)
alpha = Image.fromarray(((x * 20 + y * 7) % 256).astype(np.uint8))
grey = rgb.convert("L")
rgba, la = rgb.copy(), grey.copy()
rgba.putalpha(alpha)
la.putalpha(alpha)
palette = rgb.quantize(11)
names = []


def save(image, name, **options):
    image.save(name, **options)
    names.append(name)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(name, depth, kind, rows, interlace=0, extra=b""):
    header = struct.pack(">IIBBBBB", W, H, depth, kind, 0, 0, interlace)
    data = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    open(name, "wb").write(b"\x89PNG\r\n\x1a\n" + data)
    names.append(name)


def rows(samples):
    return b"".join(b"\0" + row.tobytes() for row in samples)


def sixteen(channels):
    samples = (x[..., None] * 4801 + y[..., None] * 977 + np.arange(channels) * 12345) % 65536
    return rows(samples.astype(">u2").reshape(H, -1))


def adam7(samples):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = (samples[y0::dy, x0::dx] for x0, y0, dx, dy in passes)
    return b"".join(rows(part.reshape(part.shape[0], -1)) for part in parts if part.size)


def frame(k, transparent):
    image = Image.new("RGBA", (W, H), (0, 0, 0, 0) if transparent else (200, 100, 50, 255))
    image.paste((255, 60 * k, 90, 255), (1 + 2 * k, 2, 5 + 2 * k, 6))
    image.paste((10, 240, 60 * k, 255), (9 - 2 * k, 4, 12 - 2 * k, 8))
    return image


save(rgb, "rgb.png")
save(rgba, "rgba.png")
save(grey, "l.png")
save(la, "la.png")
save(palette, "palette.png")
save(palette, "palette-index.png", transparency=2)
save(palette, "palette-alphas.png", transparency=bytes([0, 10, 200, 255, 3]))
save(rgb.convert("1"), "one.png")
save(grey, "l-key.png", transparency=int(np.array(grey)[3, 4]))
save(rgb, "rgb-key.png", transparency=(250, 20, 30))
raw_png("grey16.png", 16, 0, sixteen(1))
raw_png("rgb16.png", 16, 2, sixteen(3))
raw_png("rgba16.png", 16, 6, sixteen(4))
raw_png("la16.png", 16, 4, sixteen(2))
raw_png("interlaced.png", 8, 2, adam7(colours), 1)
raw_png("gamma.png", 8, 2, rows(colours.reshape(H, -1)), 0, chunk(b"gAMA", struct.pack(">I", 100000)))
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(rgba, f"exif{orientation}.png", exif=exif)
exif[0x0112] = 6
save(rgb, "exif6.jpg", exif=exif)
save(rgba, "exif6.webp", exif=exif, lossless=True, exact=True)
for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
    save(rgb, f"jpeg-{sampling.replace(':', '')}.jpg", subsampling=sampling, quality=90)
save(rgb, "jpeg-progressive.jpg", progressive=True)
save(rgb, "jpeg-restart.jpg", restart_marker_blocks=1)
save(grey, "jpeg-grey.jpg")
save(rgb.convert("CMYK"), "jpeg-cmyk.jpg")
save(rgb, "jpeg-rgb.jpg", keep_rgb=True)
save(rgb, "lossy.webp", quality=80)
save(rgba, "lossy-alpha.webp", quality=80)
save(palette, "still.gif")
save(palette, "still-index.gif", transparency=2)
save(grey, "grey.gif")
for name, disposal in (("keep", 1), ("background", 2), ("previous", 3)):
    for transparent in (True, False):
        frames = [frame(k, transparent) for k in range(4)]
        options = dict(save_all=True, append_images=frames[1:])
        suffix = "clear" if transparent else "opaque"
        save(frames[0], f"anim-{name}-{suffix}.gif", disposal=disposal, duration=50, **options)
        if transparent:
            save(frames[0], f"anim-{name}.png", disposal=disposal - 1, blend=1, **options)
            save(frames[0], f"anim-{name}-source.png", disposal=disposal - 1, blend=0, default_image=True, **options)
save(frames[0], "anim.webp", lossless=True, **options)
save(rgb, "rgb.bmp")
save(rgba, "rgba.bmp")
save(palette, "palette.bmp")
save(rgb, "rgb.tif")
save(rgba, "rgba-lzw.tif", compression="tiff_lzw")
save(grey, "pages.tif", save_all=True, append_images=[grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT), grey.resize((5, 5))])


def bytes_of(name, data):
    open(name, "wb").write(data)
    names.append(name)


for name, factors in (("jpeg-440.jpg", 0x121111), ("jpeg-4x1.jpg", 0x411111)):
    bytes_of(name, cv2.imencode(".jpg", colours[..., ::-1], [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors])[1].tobytes())


# Files without their end, and truncated ones: ComfyUI reads them with what is left.
for name in ("rgb.png", "jpeg-420.jpg", "jpeg-progressive.jpg", "still.gif"):
    data = open(name, "rb").read()
    stem, kind = name.rsplit(".", 1)
    for cut in {"png": (12, 40), "jpg": (2, 6, 60), "gif": (1,)}[kind]:
        bytes_of(f"{stem}-less-{cut}.{kind}", data[:-cut])
save(rgb, "rgb.jp2", irreversible=False)
save(rgba, "rgba.jp2", irreversible=False)
save(grey, "grey.jp2", irreversible=False)
save(rgb, "stream.j2k", irreversible=False, no_jp2=True)
save(rgb, "rgb.tga")
save(rgba, "rgba-rle.tga", compression="tga_rle")
save(grey, "grey-up.tga", orientation=-1)
save(palette, "palette.tga")
save(Image.fromarray((x * 23.7 - 40 + y * 11).astype(np.float32)), "float.tif")
save(Image.fromarray((x * 7000 - 9000 + y * 111).astype(np.int32)), "int32.tif")
for bits in (1, 4, 12, 16):
    high = 2**bits - 1
    for name, image in (("grey", np.array(grey)), ("rgb", colours)):
        # Rounding brings the highest to 256, which Pillow stores as 0: some of each.
        samples = (image.astype(np.uint32) * high // 255).astype(np.uint8 if bits <= 8 else np.uint16)
        bytes_of(f"{name}-{bits}.jp2", imagecodecs.jpeg2k_encode(samples, bitspersample=bits, reversible=True))
for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
    for picture, name in ((rgb, "rgb"), (rgba, "rgba")):
        for span in ("full", "limited"):
            save(picture, f"{name}-{sampling.replace(':', '')}-{span}.avif", subsampling=sampling, range=span)
save(rgba, "premultiplied.avif", alpha_premultiplied=True)
for orientation in range(2, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(rgb, f"exif{orientation}.avif", exif=exif)
save(frame(0, False), "anim.avif", save_all=True, append_images=[frame(k, False) for k in range(1, 4)])
save(frame(0, True), "anim-clear.avif", save_all=True, append_images=[frame(k, True) for k in range(1, 4)])
rgb.resize((160, 100)).save("/tmp/large.png")


def avifenc(name, source, *options):
    subprocess.run(["avifenc", "--speed", "6", *options, source, name], check=True, capture_output=True)
    names.append(name)


for depth in ("8", "10", "12"):
    for sampling in ("444", "422", "420", "400"):
        for source in ("rgb", "rgba"):
            name = f"{source}-{sampling}-{depth}-709.avif"
            avifenc(name, f"{source}.png", "-d", depth, "-y", sampling, "-r", "limited", "--cicp", "1/13/1")
for matrix in ("0", "4", "7", "8", "9", "12"):
    avifenc(f"matrix-{matrix}.avif", "rgba.png", "-d", "10", "-y", "444", "-r", "full", "--cicp", f"1/13/{matrix}")
avifenc("matrix-4-420.avif", "rgb.png", "-y", "420", "-r", "limited", "--cicp", "1/13/4")
avifenc("turned.avif", "rgba.png", "--irot", "1", "--imir", "0")
avifenc("grid.avif", "/tmp/large.png", "--grid", "2x1", "--min", "30", "--max", "40")


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def opened(name):
    """As ComfyUI opens a picture: with what is left of it, if it is truncated."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        Image.open(name).load()
    except OSError:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
    return Image.open(name)


with open("expected.txt", "w") as table:
    for name in names:
        colour, masks, size = b"", b"", None
        frames = 0
        file = opened(name)
        for image in ImageSequence.Iterator(file):
            image = ImageOps.exif_transpose(image)
            if image.mode == "I":
                image = image.point(lambda value: value * (1 / 255))
            size = size or image.size
            if image.size != size:
                continue
            frames += 1
            colour += np.array(image.convert("RGB")).tobytes()
            if "A" in image.getbands() or image.mode == "P" and "transparency" in image.info:
                masks += np.array(image.convert("RGBA").getchannel("A")).tobytes()
        first = ImageOps.exif_transpose(opened(name)).convert("RGBA").getchannel("A")
        mask = fnv(masks) if masks else "-"
        print(name, frames, size[1], size[0], fnv(colour), mask, fnv(np.array(first).tobytes()), file=table)
