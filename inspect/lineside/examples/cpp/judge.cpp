// TESTED: built and run on a bundle's vectors by lineside's tests (Linux, C++17, ONNX Runtime 1.32 with the headers of 1.24).
//
// Judge a raw frame with a lineside bundle, by ONNX Runtime's C++ API:
//     judge MODEL/model.onnx MODEL/vectors/ok.u8 HEIGHT WIDTH CHANNELS    (shapes stand in vectors.json)
// Set ORT_DISABLE_TELEMETRY=1 in the environment: a build of ONNX Runtime may report that it is used, unless told not to.

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: judge model.onnx frame.u8 HEIGHT WIDTH CHANNELS\n";
    return 2;
  }
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "lineside");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  const std::string path = argv[1];
  Ort::Session session(env, std::basic_string<ORTCHAR_T>(path.begin(), path.end()).c_str(), options);

  // The contract (JSON) says what goes in, what comes out and what the thresholds are worth; contract.json is the same.
  Ort::AllocatorWithDefaultOptions allocator;
  auto contract = session.GetModelMetadata().LookupCustomMetadataMapAllocated("lineside", allocator);
  if (!contract) {
    std::cerr << path << ": no lineside model\n";
    return 1;
  }

  std::ifstream file(argv[2], std::ios::binary);
  std::vector<uint8_t> frame((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const int64_t shape[] = {1, std::atoll(argv[3]), std::atoll(argv[4]), std::atoll(argv[5])};  // N, H, W, C; red first
  if (shape[1] * shape[2] * shape[3] != static_cast<int64_t>(frame.size())) {
    std::cerr << argv[2] << ": " << frame.size() << " bytes do not fit the shape\n";
    return 1;
  }
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto input = Ort::Value::CreateTensor<uint8_t>(memory, frame.data(), frame.size(), shape, 4);

  // threshold_ng and threshold_review (float [1]) could be fed too; then the contract's statement holds no longer.
  const char* inputs[] = {"frame"};
  const char* outputs[] = {"score", "verdict", "gate"};
  auto results = session.Run(Ort::RunOptions{nullptr}, inputs, &input, 1, outputs, 3);
  const char* verdicts[] = {"OK", "NG", "REVIEW", "NO_CALL"};
  std::cout << verdicts[results[1].GetTensorData<int64_t>()[0]] << " " << results[0].GetTensorData<float>()[0]
            << " gate " << results[2].GetTensorData<int64_t>()[0] << "\n";
  return 0;
}
