"""Steps of scripts/build_head_model.py: source mesh, calibration, chart, albedo, landmarks, report."""
