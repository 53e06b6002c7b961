"""Files of videos: written, and read again, by PyAV alone."""

import av
import numpy as np


def write(path, frames, *, codec="libx264", pixels="yuv420p", rate=25, times=None, base=None,
          sound=None, turned=0, aspect=None, colors=None, container=None):  # fmt: skip
    """Write a video, nearly without loss."""
    with av.open(str(path), "w", format=container) as made:
        options = {"crf": "1"} if codec == "libx264" else {}
        video = made.add_stream(codec, rate=rate, options=options)
        video.height, video.width, _ = frames[0].shape
        video.pix_fmt = pixels
        context = video.codec_context
        if base is not None:
            context.time_base = base
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if turned:
            video.set_display_rotation(turned)
        if colors is not None:
            context.colorspace = context.color_primaries = context.color_trc = colors
            context.color_range = 1
        track = None if sound is None else made.add_stream(sound, rate=48000, layout="mono")
        for count, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, "rgb24")
            if colors is not None:
                frame = frame.reformat(format=pixels, dst_colorspace=colors, dst_color_range=1)
            if times is not None:
                frame.pts, frame.time_base = times[count], base
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
        if track is not None:
            wave = np.int16(5000 * np.sin(np.arange(48000) / 20))[None]
            samples = av.AudioFrame.from_ndarray(wave, "s16", "mono")
            samples.rate = 48000
            resampler = av.AudioResampler(track.format.name, "mono", 48000, track.frame_size)
            for part in [*resampler.resample(samples), *resampler.resample(None)]:
                made.mux(track.encode(part))
            made.mux(track.encode(None))
    return path


def read(path):
    """Frames as they are stored, and their times."""
    with av.open(str(path)) as film:
        found = [(frame.to_ndarray(format="rgb24"), frame.time) for frame in film.decode(video=0)]
    return [values for values, _ in found], [time for _, time in found]


def sound(path):
    """The bytes of the first sound, packet by packet, and their times."""
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(audio=0) if packet.dts is not None]
        return [(bytes(packet), packet.pts * packet.time_base) for packet in packets]
