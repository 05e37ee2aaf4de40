# docker build -t pyface3d .   then   docker run --rm -v "$PWD:/data" pyface3d reconstruct /data/photo.jpg -o /data/out
FROM python:3.11-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/pyface3d
COPY . .
ENV PYFACE3D_CUDA=off
RUN make demo && rm -rf out ~/.cache
ENV PATH=/opt/pyface3d/.venv/bin:$PATH
ENTRYPOINT ["pyface3d"]
CMD ["--help"]
